package redisstream

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// The driver writes a line about each dial that fails. We say once that the
// server is lost; a program that wants those lines sets a logger of its own.
func init() { redis.SetLogger(silent{}) }

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// patience is how long opening may take.
const patience = 4 * time.Second

func forCommands(o *redis.Options) *redis.Options {
	c := *o
	c.Protocol = 2
	c.DisableIdentity = true
	c.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	c.ContextTimeoutEnabled = true
	c.DialerRetries = 1
	if c.DialTimeout == 0 {
		c.DialTimeout = 2 * time.Second
	}
	return &c
}

// forReaders has a connection for each subscription. A read that failed is
// not tried again blindly: its answer may have been lost.
func forReaders(o *redis.Options) *redis.Options {
	c := forCommands(o)
	c.PoolSize, c.MaxActiveConns, c.MinIdleConns = 1000, 0, 0
	c.MaxRetries = -1
	return c
}

// server is what one is connected to. What it would not tell is empty.
type server struct {
	address           string
	runID, version    string
	db                int
	appendOnly, fsync string
	policy            string
}

// inspect asks the server who it is, and refuses one that can't be used.
func inspect(ctx context.Context, c *redis.Client, o *redis.Options) (server, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s := server{address: o.Addr, db: o.DB}
	info, err := c.Info(ctx, "server").Result()
	if err != nil && !refused(err) {
		return s, unavailable{fmt.Errorf("no Redis server answers at %s: %w", o.Addr, err)}
	}
	if err != nil && !strings.HasPrefix(err.Error(), "NOPERM") {
		return s, fmt.Errorf("the Redis server at %s refuses: %w", o.Addr, err)
	}
	s.runID, s.version = infoLine(info, "run_id"), infoLine(info, "redis_version")
	if major, err := strconv.Atoi(strings.Split(s.version, ".")[0]); err == nil && major < 7 {
		return s, fmt.Errorf("the Redis server at %s is version %s; 7 or newer is needed", o.Addr, s.version)
	}
	settings, _ := c.ConfigGet(ctx, "append*").Result() // some servers don't tell
	s.appendOnly, s.fsync = settings["appendonly"], settings["appendfsync"]
	settings, _ = c.ConfigGet(ctx, "maxmemory-policy").Result()
	s.policy = settings["maxmemory-policy"]
	if strings.HasPrefix(s.policy, "allkeys-") {
		return s, fmt.Errorf("the Redis server at %s has maxmemory-policy %s, which deletes messages; set noeviction", o.Addr, s.policy)
	}
	return s, nil
}

// infoLine finds "name:value" in the answer to INFO.
func infoLine(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// announce says what a crash of the server costs.
func (s server) announce(log *slog.Logger) {
	switch {
	case s.appendOnly == "":
		log.Info("millrace: redis streams: the server does not tell how durable it is", "server", s.address)
	case s.appendOnly == "no":
		log.Warn("millrace: redis streams: a crash of the server loses messages: it has no append-only file", "server", s.address)
	case s.fsync == "always":
		log.Info("millrace: redis streams: messages survive a crash of the server (appendfsync always)", "server", s.address)
	case s.fsync == "everysec":
		log.Warn("millrace: redis streams: a crash of the server may undo its last second (appendfsync everysec)", "server", s.address)
	default:
		log.Warn("millrace: redis streams: a crash of the server may undo what it has not written yet (appendfsync "+s.fsync+")", "server", s.address)
	}
}
