package redis_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/redis"
	"github.com/millrace-go/millrace/store/storetest"
)

func openURL(t testing.TB, p place, query string) error {
	u := *p.url
	u.RawQuery = "prefix=" + p.prefix + query
	s, err := store.Open(t.Context(), u.String(), store.Options{})
	if err == nil {
		require.NoError(t, s.Close())
	}
	return err
}

func TestURL(t *testing.T) {
	p := newPlace(t, shared(t))
	require.NoError(t, openURL(t, p, "&timeout=3s&connections=4&cluster=false"))
	for query, complaint := range map[string]string{
		"&colour=blue":     `unknown setting "colour"`,
		"&timeout=soon":    "setting timeout=soon",
		"&timeout=":        "must be given once, with a value",
		"&connections=1":   "connections is 1",
		"&timeout=-1s":     "timeout is -1s",
		"&cluster=perhaps": "setting cluster=perhaps",
		"&prefix=other":    "must be given once",
	} {
		require.ErrorContains(t, openURL(t, p, query), complaint)
	}
	_, err := store.Open(t.Context(), "redis://"+p.url.Host+"/first", store.Options{})
	require.ErrorContains(t, err, "must be the number of a database")
	_, err = redis.Open(t.Context(), p.url.Host, redis.Config{Prefix: "a{b}"})
	require.ErrorContains(t, err, "must not contain braces")
}

// A server that is down is named in one line, soon, and without the password.
func TestServerThatIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	for _, silent := range []bool{true, false} { // it accepts and says nothing; it refuses
		if !silent {
			require.NoError(t, l.Close())
		}
		started := time.Now()
		_, err = store.Open(t.Context(), "redis://user:secret@"+address+"/0", store.Options{})
		require.ErrorIs(t, err, store.ErrUnavailable)
		require.Less(t, time.Since(started), 5*time.Second)
		require.Contains(t, err.Error(), address)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestServersThatEvict(t *testing.T) {
	server := servers.StartRedis(t)
	p := newPlace(t, server.URL())
	c := p.client(t)
	for _, policy := range []string{"allkeys-lru", "allkeys-random", "volatile-lru", "volatile-ttl"} {
		require.NoError(t, c.ConfigSet(t.Context(), "maxmemory-policy", policy).Err())
		err := openURL(t, p, "")
		require.ErrorContains(t, err, policy)
		require.ErrorContains(t, err, "noeviction")
	}
	keys, err := c.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	require.Empty(t, keys, "nothing was written")
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	require.NoError(t, openURL(t, p, ""))
}

func TestReplicasAreRefused(t *testing.T) {
	server := servers.StartRedis(t)
	p := newPlace(t, server.URL())
	s := p.open(t, store.Options{})
	defer s.Close()
	c := p.client(t)
	require.NoError(t, c.ReplicaOf(t.Context(), "127.0.0.1", "1").Err())
	err := openURL(t, p, "")
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorContains(t, err, "replica")
	require.ErrorIs(t, increment(t.Context(), s), store.ErrUnavailable, "one that became a replica")
	require.NoError(t, c.ReplicaOf(t.Context(), "NO", "ONE").Err())
	require.NoError(t, increment(t.Context(), s))
}

// The promise is told, whatever the server lets its users ask.
func TestDurabilityIsTold(t *testing.T) {
	server := servers.StartRedis(t)
	p := newPlace(t, server.URL())
	c := p.client(t)
	told := func(user string) (redis.Durability, string) {
		var log bytes.Buffer
		config := p.config(store.Options{})
		config.Log = slog.New(slog.NewTextHandler(&log, nil))
		if user != "" {
			config.Username, config.Password = user, "pw"
		}
		s, err := redis.Open(t.Context(), p.url.Host, config)
		require.NoError(t, err)
		defer s.Close()
		require.NoError(t, increment(t.Context(), s))
		return s.Durability(), log.String()
	}
	expect := func(user string, want redis.Durability, words string) {
		t.Helper()
		got, line := told(user)
		require.Equal(t, want, got)
		require.Contains(t, line, words)
	}
	expect("", redis.Always, "level=INFO")
	require.NoError(t, c.ConfigSet(t.Context(), "no-appendfsync-on-rewrite", "yes").Err())
	expect("", redis.Always, "no-appendfsync-on-rewrite")
	require.NoError(t, c.ConfigSet(t.Context(), "no-appendfsync-on-rewrite", "no").Err())
	require.NoError(t, c.ConfigSet(t.Context(), "appendfsync", "everysec").Err())
	expect("", redis.EverySecond, "level=WARN")
	require.NoError(t, c.Do(t.Context(), "ACL", "SETUSER", "modest", "on", ">pw", "~*", "&*", "+@all", "-config").Err())
	expect("modest", redis.Unknown, "does not tell")
	require.NoError(t, c.ConfigSet(t.Context(), "appendonly", "no").Err())
	expect("modest", redis.Off, "last snapshot")
	require.NoError(t, c.Do(t.Context(), "ACL", "SETUSER", "mute", "on", ">pw", "~*", "&*", "+@all", "-config", "-info").Err())
	expect("mute", redis.Unknown, "evicts keys")
}

// L3
func TestMigrating(t *testing.T) {
	p := newPlace(t, shared(t))
	_, err := redis.Open(t.Context(), p.url.Host, p.config(store.Options{NoMigrate: true}))
	require.ErrorIs(t, err, store.ErrSchema)
	later := p.open(t, store.Options{MigrateLater: true})
	defer later.Close()
	require.ErrorIs(t, increment(t.Context(), later), store.ErrSchema)
	from, to, err := later.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{0, 1}, []int{from, to})
	require.NoError(t, increment(t.Context(), later))
	s := p.open(t, store.Options{NoMigrate: true})
	defer s.Close()
	from, to, err = s.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{from, to})

	require.NoError(t, p.client(t).Set(t.Context(), p.key("layout"), "99", 0).Err())
	_, err = redis.Open(t.Context(), p.url.Host, p.config(store.Options{}))
	require.ErrorIs(t, err, store.ErrSchema)
}

// The same suite on a node of a cluster.
func TestCluster(t *testing.T) {
	server := servers.StartRedis(t, "cluster-enabled yes")
	p := newPlace(t, server.URL())
	c := p.client(t)
	require.NoError(t, c.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	require.Eventually(t, func() bool {
		info, err := c.ClusterInfo(t.Context()).Result()
		return err == nil && bytes.Contains([]byte(info), []byte("cluster_state:ok"))
	}, 10*time.Second, 10*time.Millisecond)
	open := func(t testing.TB, o store.Options) store.Store {
		config := newPlace(t, server.URL()).config(o)
		config.Cluster = true
		s, err := redis.Open(context.WithoutCancel(t.Context()), p.url.Host, config)
		require.NoError(t, err)
		return s
	}
	storetest.Run(t, storetest.Factory{Open: open})
}

func TestServerIdentity(t *testing.T) {
	p := newPlace(t, shared(t))
	s := p.open(t, store.Options{})
	defer s.Close()
	run, db, err := s.Server(t.Context())
	require.NoError(t, err)
	require.Len(t, run, 40)
	require.Zero(t, db)
	other, err := url.Parse(servers.StartRedis(t).URL())
	require.NoError(t, err)
	q := newPlace(t, other.String()).open(t, store.Options{})
	defer q.Close()
	otherRun, _, err := q.Server(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, run, otherRun)
	require.Equal(t, "{"+p.prefix+":0}:x:stream", s.Key("x:stream"))
}
