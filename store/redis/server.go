package redis

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	client "github.com/redis/go-redis/v9"

	"github.com/millrace-go/millrace/store"
)

// Durability says what a commit survives. It is up to the server's settings.
type Durability string

// Always commits are on disk before they are answered: they survive the loss
// of power. EverySecond ones may be undone by a crash, the last second or two
// of them. Off ones may be undone back to the last snapshot. Unknown is what
// the server does not tell.
const (
	Always      Durability = "always"
	EverySecond Durability = "everysec"
	Off         Durability = "off"
	Unknown     Durability = "unknown"
)

// facts are what is known of a server. What it does not tell is empty.
type facts struct {
	version    string
	role       string
	eviction   string
	runID      string
	durability Durability
	pauses     bool // nothing is brought to disk while the log is rewritten
}

// inspect asks the server about itself. A user who may not ask learns nothing,
// which is no error.
func (s *Store) inspect(ctx context.Context) (facts, error) {
	n, err := s.node(ctx)
	if err != nil {
		return facts{}, err
	}
	text, err := n.Info(ctx).Result()
	if err != nil && !denied(err) {
		return facts{}, err
	}
	info := parseInfo(text)
	f := facts{
		version: info["redis_version"], role: info["role"], runID: info["run_id"],
		eviction: info["maxmemory_policy"], durability: Unknown,
	}
	settings := map[string]string{}
	for _, name := range []string{"maxmemory-policy", "appendfsync", "no-appendfsync-on-rewrite"} {
		got, err := n.ConfigGet(ctx, name).Result()
		if err != nil && !denied(err) {
			return f, err
		}
		settings[name] = got[name]
	}
	if policy := settings["maxmemory-policy"]; policy != "" {
		f.eviction = policy
	}
	f.pauses = settings["no-appendfsync-on-rewrite"] == "yes"
	f.durability = durabilityOf(info["aof_enabled"], settings["appendfsync"])
	return f, nil
}

func durabilityOf(aof, fsync string) Durability {
	switch {
	case aof == "0", aof == "1" && fsync == "no":
		return Off
	case aof == "1" && fsync == "always":
		return Always
	case aof == "1" && fsync == "everysec":
		return EverySecond
	}
	return Unknown
}

// denied reports whether err says that this user may not ask, or that the
// server does not know the command, as managed ones do.
func denied(err error) bool {
	return client.HasErrorPrefix(err, "NOPERM") || client.HasErrorPrefix(err, "ERR unknown")
}

func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// suit refuses a server that can't keep a store.
func (f facts) suit() error {
	if major, err := strconv.Atoi(strings.Split(f.version, ".")[0]); err == nil && major < 7 {
		return fmt.Errorf("the server is Redis %s; it must be 7.0 or newer", f.version)
	}
	if f.role == "slave" || f.role == "replica" {
		return fmt.Errorf("%w: the server is a replica; give the address of the primary", store.ErrUnavailable)
	}
	if f.eviction != "" && f.eviction != "noeviction" {
		return fmt.Errorf("the server evicts keys when its memory is full (maxmemory-policy %s), and so would lose work; set maxmemory-policy to noeviction", f.eviction)
	}
	return nil
}

// tell logs which promise a commit is on this server.
func (f facts) tell(log *slog.Logger, address string) {
	log = log.With("server", address, "durability", f.durability)
	switch {
	case f.durability == Always && f.pauses:
		log.Warn("millrace: redis: commits are on disk when they are answered, but not while the server rewrites its log (no-appendfsync-on-rewrite yes)")
	case f.durability == Always:
		log.Info("millrace: redis: commits are on disk when they are answered (appendfsync always)")
	case f.durability == EverySecond:
		log.Warn("millrace: redis: a crash of the server may undo the last second or two (appendfsync everysec); set appendfsync always to lose nothing")
	case f.durability == Off:
		log.Warn("millrace: redis: a crash of the server may undo everything since its last snapshot; set appendonly yes and appendfsync always to lose nothing")
	default:
		log.Warn("millrace: redis: the server does not tell what of its commits survives a crash")
	}
	if f.eviction == "" {
		log.Warn("millrace: redis: the server does not tell whether it evicts keys; maxmemory-policy must be noeviction")
	}
}

// Durability returns what a commit survives by the settings that the server
// had when the store was opened.
func (s *Store) Durability() Durability { return s.facts.durability }

// Server identifies the server and the database that the store is in. A
// transport that is asked to publish by the store's commits compares it with
// its own: the run id of a server is new whenever it starts, and no two have
// the same. Errors: store.ErrUnavailable, store.ErrClosed and the context's; an
// empty run id when the user may not ask for it.
func (s *Store) Server(ctx context.Context) (runID string, db int, err error) {
	leave, err := s.enter(ctx, "server")
	if err != nil {
		return "", 0, err
	}
	defer leave()
	n, err := s.node(ctx)
	if err != nil {
		return "", 0, explain("server", err)
	}
	text, err := n.Info(ctx, "server").Result()
	if err != nil && !denied(err) {
		return "", 0, explain("server", err)
	}
	return parseInfo(text)["run_id"], s.config.DB, nil
}

// Key names a key that is on the same node of a cluster as the store: the
// store's hash tag, a colon, and name. Keys of commands that a commit carries
// out ([Store.PublishBy]) must be such keys on a cluster. Names that begin
// with "x:" are never the store's own.
func (s *Store) Key(name string) string { return s.root + ":" + name }
