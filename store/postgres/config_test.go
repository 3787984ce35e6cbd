package postgres

import (
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

func TestSettings(t *testing.T) {
	u, err := url.Parse("postgres://u:p@h:1/d?sslmode=disable&pool=3&caller_pool=4&connect_timeout=2&statement_timeout=7s&idle_timeout=8s&wake_every=9ms")
	require.NoError(t, err)
	c, rest, err := configOf(u)
	require.NoError(t, err)
	require.Equal(t, "postgres://u:p@h:1/d?sslmode=disable", rest)
	require.Equal(t, Config{
		Pool: 3, CallerPool: 4, ConnectTimeout: 2 * time.Second, StatementTimeout: 7 * time.Second,
		IdleTimeout: 8 * time.Second, WakeEvery: 9 * time.Millisecond,
	}, c)
}

// Wrong settings are told in one line.
func TestWrongSettings(t *testing.T) {
	for query, say := range map[string]string{
		"pol=3":                 `unknown setting "pol"`,
		"pool=3&pool=4":         `"pool" of the URL must be given once`,
		"pool=":                 `"pool" of the URL must be given once`,
		"pool=x":                "pool=x",
		"pool=1":                "it must be at least 2",
		"statement_timeout=1us": "at least 1ms",
		"sslmode=perhaps":       "sslmode",
	} {
		_, err := store.Open(t.Context(), "postgres://u:secret@127.0.0.1:1/d?"+query, store.Options{})
		require.ErrorContains(t, err, say)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "\n")
	}
}

// A server that is down is told at once: which, where, and why.
func TestServerDown(t *testing.T) {
	_, err := store.Open(t.Context(), "postgres://u:secret@127.0.0.1:1/d?sslmode=disable", store.Options{})
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorContains(t, err, "postgres")
	require.ErrorContains(t, err, "127.0.0.1:1")
	require.ErrorContains(t, err, "refused")
	require.NotContains(t, err.Error(), "secret")
	require.Len(t, strings.Split(err.Error(), "\n"), 1)
}

// Too many connections are an outage, not an error of the caller's.
func TestConnectionsExhausted(t *testing.T) {
	at := newSchema(t)
	u, err := url.Parse(at)
	require.NoError(t, err)
	role := u.Query().Get("search_path")
	run(t, at, "CREATE ROLE "+role+" LOGIN PASSWORD 'x' CONNECTION LIMIT 2; GRANT ALL ON SCHEMA "+role+" TO "+role)
	t.Cleanup(func() { run(t, at, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	u.User = url.UserPassword(role, "x")
	s := open(t, u.String(), store.Options{})

	x, err := s.pool.take(t.Context())
	require.NoError(t, err)
	y, err := s.pool.take(t.Context())
	require.NoError(t, err)
	_, err = s.Find(t.Context(), store.Query{Workers: &store.WorkerQuery{}})
	require.ErrorIs(t, err, store.ErrUnavailable)
	s.pool.give(x)
	s.pool.give(y)
	_, err = s.Find(t.Context(), store.Query{Workers: &store.WorkerQuery{}})
	require.NoError(t, err)
	_, err = store.Open(t.Context(), u.String(), store.Options{})
	require.ErrorIs(t, err, store.ErrUnavailable)
}

// A server that takes connections and says nothing is down too.
func TestServerSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	begun := time.Now()
	_, err = store.Open(t.Context(), "postgres://u@"+l.Addr().String()+"/d?sslmode=disable&connect_timeout=1", store.Options{})
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorContains(t, err, l.Addr().String())
	require.Less(t, time.Since(begun), 5*time.Second)
}
