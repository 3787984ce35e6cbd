package postgres

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"strings"
	"testing"

	_ "github.com/lib/pq" // the driver of the tests' own handle
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/storetest"
)

// newSchema makes a schema on the shared server, removes it when t ends, and
// returns the URL that leads into it.
func newSchema(t testing.TB) string {
	t.Helper()
	return schemaOn(t, servers.Postgres(t))
}

func schemaOn(t testing.TB, server string) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	run(t, server, "CREATE SCHEMA "+name)
	t.Cleanup(func() { run(t, server, "DROP SCHEMA "+name+" CASCADE") })
	return with(t, server, "search_path", name)
}

// run executes statements on a connection of its own.
func run(t testing.TB, server, text string) {
	t.Helper()
	db, err := sql.Open("postgres", server)
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec("SET client_min_messages = warning; " + text)
	require.NoError(t, err)
}

// with sets a key of a URL.
func with(t testing.TB, rawURL, key, value string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	q := u.Query()
	q.Set(key, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// open opens a store and closes it when t ends.
func open(t testing.TB, rawURL string, o store.Options) *Store {
	t.Helper()
	s, err := store.Open(t.Context(), rawURL, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s.(*Store)
}

// damage overwrites a body by way of the application's handle.
func damage(t testing.TB, s store.Store, statement string, key int64) {
	t.Helper()
	_, err := s.(*Store).DB().ExecContext(t.Context(), statement, []byte{0xff}, key)
	require.NoError(t, err)
}

// schemas gives each store of a suite a schema, and knows it again.
func factory(t testing.TB) storetest.Factory {
	urls := map[store.Store]string{}
	openAt := func(t testing.TB, at string, o store.Options) store.Store {
		s := open(t, at, o)
		urls[s] = at
		return s
	}
	return storetest.Factory{
		Open: func(t testing.TB, o store.Options) store.Store { return openAt(t, newSchema(t), o) },
		Share: func(t testing.TB, s store.Store, o store.Options) store.Store {
			return openAt(t, urls[s], o)
		},
		Reopen: func(t testing.TB, s store.Store, o store.Options) store.Store {
			t.Helper()
			require.NoError(t, s.Close())
			return openAt(t, urls[s], o)
		},
		DamageMessage: func(t testing.TB, s store.Store, seq int64) {
			damage(t, s, "UPDATE millrace_messages SET body = $1 WHERE seq = $2", seq)
		},
		DamageRun: func(t testing.TB, s store.Store, key int64) {
			damage(t, s, "UPDATE millrace_runs SET body = $1 WHERE key = $2", key)
		},
	}
}

func TestStore(t *testing.T) { storetest.Run(t, factory(t)) }
