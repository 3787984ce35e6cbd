// Package place gives tests fresh places on the servers that they share: for
// each pair of a store and a broker a database, a schema or a prefix, and
// queues, that nobody else uses. What a test has made there goes with it.
//
// It links all drivers.
package place

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"sync"

	"github.com/millrace-go/millrace/internal/pairs"
	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	_ "github.com/millrace-go/millrace/store/memory" // it links all drivers
	_ "github.com/millrace-go/millrace/store/postgres"
	_ "github.com/millrace-go/millrace/store/redis"
	_ "github.com/millrace-go/millrace/store/sqlite"
	_ "github.com/millrace-go/millrace/transports/amqp"
	_ "github.com/millrace-go/millrace/transports/memory"
	_ "github.com/millrace-go/millrace/transports/redisstream"
	_ "github.com/millrace-go/millrace/transports/watermillsql"
)

// T is the part of testing.TB that this package uses.
type T interface {
	servers.T
	// TempDir returns an empty folder that goes with the test.
	TempDir() string
}

// Place is where one test has its rows and messages.
type Place struct {
	Store     string // URL of an empty store
	Transport string // URL of a broker whose topics are empty; "": none

	t    T
	name string // which no other place has

	wipe func(topics []string) error

	mu     sync.Mutex
	topics map[string]bool // that were told of
}

// New makes a place for a pair. It fails the test if a server can't be reached.
func New(t T, p pairs.Pair) *Place {
	t.Helper()
	pl := &Place{t: t, name: "t" + strings.ToLower(rand.Text()[:12]), topics: map[string]bool{}}
	switch p.Store {
	case "memory":
		pl.Store = "memory:" + pl.name
	case "sqlite":
		pl.Store = (&url.URL{Scheme: "sqlite", Path: filepath.ToSlash(filepath.Join(t.TempDir(), "millrace.db"))}).String()
	case "postgres":
		pl.schema(servers.Postgres(t))
	case "redis":
		pl.Store = with(t, servers.Redis(t), "prefix", pl.name)
	default:
		t.Fatalf("there is no place for the store %s", p.Store)
	}
	if p.Store == "redis" || p.Broker == "redisstream" {
		pl.forget(servers.Redis(t))
	}
	pl.broker(p.Broker)
	return pl
}

// broker makes the place's broker.
func (pl *Place) broker(name string) {
	pl.t.Helper()
	switch name {
	case "":
	case "memory":
		pl.Transport = "memory:" + pl.name
		pl.wipe = pl.wipeMemory
	case "amqp":
		pl.queues(servers.AMQP(pl.t))
	case "redisstream":
		pl.Transport = with(pl.t, servers.Redis(pl.t), "prefix", pl.name+":")
		pl.wipe = pl.wipeStreams
	case "watermill-sql":
		pl.Transport = "watermill-sql:"
		pl.wipe = pl.wipeTables
	default:
		pl.t.Fatalf("there is no place for the transport %s", name)
	}
}

// Note tells of topics that the test uses, so that nothing of them stays in
// the broker.
func (pl *Place) Note(topics ...string) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	for _, topic := range topics {
		pl.topics[topic] = true
	}
}

// NoteHome notes the topic on which the store is told of work that was done
// elsewhere: its name is random.
func (pl *Place) NoteHome() {
	pl.t.Helper()
	name, err := nameOf(pl.Store)
	if err != nil {
		pl.t.Fatalf("ask %s for its name: %v", redacted(pl.Store), err)
	}
	pl.Note(step.HomeTopic(name))
}

// nameOf asks a store for its name, as a worker that leaves at once.
func nameOf(rawURL string) (name string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := store.Open(ctx, rawURL, store.Options{})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	got, err := s.Beat(ctx, store.Beat{Lease: patience})
	if err != nil {
		return "", err
	}
	_, err = s.Reap(ctx, store.Reap{Workers: []int64{got.Key}})
	return got.Store, err
}

// Wipe deletes what the broker has of topics, as when it has lost its disk.
func (pl *Place) Wipe(topics ...string) {
	pl.t.Helper()
	pl.Note(topics...)
	if err := pl.wipe(topics); err != nil {
		pl.t.Fatalf("wipe topics of %s: %v", redacted(pl.Transport), err)
	}
}

// with adds a setting to a URL.
func with(t T, rawURL string, keysAndValues ...string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatalf("a server's URL: %v", err)
	}
	q := u.Query()
	for i := 0; i < len(keysAndValues); i += 2 {
		q.Set(keysAndValues[i], keysAndValues[i+1])
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func redacted(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "a broker"
	}
	return u.Redacted()
}
