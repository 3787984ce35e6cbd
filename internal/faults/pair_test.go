package faults

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/step"
	_ "github.com/millrace-go/millrace/store/postgres"
	_ "github.com/millrace-go/millrace/store/redis"
	_ "github.com/millrace-go/millrace/store/sqlite"
	_ "github.com/millrace-go/millrace/transports/amqp"
	_ "github.com/millrace-go/millrace/transports/redisstream"
	_ "github.com/millrace-go/millrace/transports/watermillsql"
)

// pair is a store and a broker, by the schemes of their URLs. No broker is "".
type pair struct{ store, broker string }

// pairs are all that the tests run on.
var pairs = []pair{
	{"sqlite", ""}, {"sqlite", "amqp"}, {"sqlite", "redis"},
	{"postgres", ""}, {"postgres", "amqp"}, {"postgres", "redis"}, {"postgres", "watermill-sql"},
	{"redis", ""}, {"redis", "redis"}, {"redis", "amqp"},
}

func (p pair) String() string {
	if p.broker == "" {
		return p.store
	}
	return p.store + "+" + p.broker
}

// needs reports whether it uses a server.
func (p pair) needs(scheme string) bool { return p.store == scheme || p.broker == scheme }

// place says where the servers are, by scheme.
type place map[string]string

// shared are the servers that all tests share.
func shared(t testing.TB) place {
	t.Helper()
	return place{"postgres": servers.Postgres(t), "redis": servers.Redis(t), "amqp": servers.AMQP(t)}
}

// with returns a place with another server.
func (pl place) with(scheme, url string) place {
	out := place{scheme: url}
	for s, u := range pl {
		if s != scheme {
			out[s] = u
		}
	}
	return out
}

// site is where one pair works: a database, and names in a broker, that belong
// to one test.
type site struct {
	pair
	tag    string   // what the names begin with
	store  *url.URL // as the routers are given them
	broker *url.URL // nil: none
	direct place
	home   string // name of the store, if it is known
}

// site makes a place for a pair.
func (pl place) site(t testing.TB, p pair) *site {
	t.Helper()
	raw := make([]byte, 5)
	_, _ = rand.Read(raw)
	s := &site{pair: p, tag: "f" + hex.EncodeToString(raw), direct: pl}
	switch p.store {
	case "sqlite":
		s.store = &url.URL{Scheme: "sqlite", Path: filepath.Join(t.TempDir(), "faults.db")}
	case "redis":
		s.store = s.parse(t, pl["redis"])
		s.set(s.store, "prefix", s.tag)
	case "postgres":
		s.store = s.parse(t, pl["postgres"])
		s.database(t, "CREATE DATABASE "+s.tag)
		s.store.Path = "/" + s.tag
	}
	switch p.broker {
	case "redis":
		s.broker = s.parse(t, pl["redis"])
		s.set(s.broker, "prefix", s.tag+":")
	case "amqp":
		s.broker = s.parse(t, pl["amqp"])
	case "watermill-sql":
		s.broker = &url.URL{Scheme: "watermill-sql"} // in the store's own database
	}
	t.Cleanup(func() { s.clean(t) })
	return s
}

func (*site) parse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u
}

func (*site) set(u *url.URL, key, value string) {
	q := u.Query()
	q.Set(key, value)
	u.RawQuery = q.Encode()
}

// brokerURL returns the broker's URL; "" without one.
func (s *site) brokerURL() string {
	if s.broker == nil {
		return ""
	}
	return s.broker.String()
}

// database carries out a statement on the server, outside the test's database.
func (s *site) database(t testing.TB, stmt string) {
	t.Helper()
	db, err := sql.Open("postgres", s.direct["postgres"])
	require.NoError(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec(stmt)
	require.NoError(t, err)
}

// clean removes what is left in the servers.
func (s *site) clean(t testing.TB) {
	t.Helper()
	if s.store.Scheme == "postgres" {
		s.database(t, "DROP DATABASE IF EXISTS "+s.tag+" WITH (FORCE)")
	}
	if s.needs("redis") {
		s.deleteKeys(t, "*"+s.tag+"*")
	}
	if s.pair.broker == "amqp" {
		s.deleteQueues(t, s.home)
	}
}

// deleteKeys deletes keys of Redis.
func (s *site) deleteKeys(t testing.TB, pattern string) (n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	opts, err := redis.ParseURL(s.direct["redis"])
	require.NoError(t, err)
	c := redis.NewClient(opts)
	defer c.Close()
	keys, err := c.Keys(ctx, pattern).Result()
	require.NoError(t, err)
	for chunk := range slices.Chunk(keys, 500) {
		require.NoError(t, c.Del(ctx, chunk...).Err())
	}
	return len(keys)
}

// deleteQueues deletes queues of RabbitMQ: those of the tasks, and that of
// outcomes for a store of that name.
func (s *site) deleteQueues(t testing.TB, storeName string) (n int) {
	t.Helper()
	conn, err := amqp091.Dial(s.direct["amqp"])
	require.NoError(t, err)
	defer conn.Close()
	for _, topic := range []string{s.tag, step.HomeTopic(storeName)} {
		if strings.TrimSpace(topic) == "" {
			continue
		}
		for _, queue := range []string{topic, topic + ".parked"} {
			ch, err := conn.Channel()
			require.NoError(t, err)
			if _, err = ch.QueueDelete(queue, false, false, false); err == nil {
				n++
			}
			_ = ch.Close()
		}
	}
	return n
}
