package sqlite

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A COMMIT that a constraint of the application's refuses leaves SQLite's
// transaction open: it must not keep the file locked.
//
// L5: both happen or neither
func TestRefusedCommitOfACallerIsUndone(t *testing.T) {
	s := open(t, t.TempDir()+"/a.db", Config{BusyTimeout: 50 * time.Millisecond})
	conn, err := s.DB().Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	for _, q := range []string{
		"PRAGMA foreign_keys = on",
		"CREATE TABLE parent (id INTEGER PRIMARY KEY)",
		"CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
	} {
		_, err := conn.ExecContext(t.Context(), q)
		require.NoError(t, err)
	}
	for range 2 {
		tx, err := conn.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "INSERT INTO child VALUES (7)")
		require.NoError(t, err)
		require.NoError(t, put(t, s, tx))
		require.ErrorContains(t, tx.Commit(), "FOREIGN KEY")
		require.NoError(t, addOne(s), "the file is free again")
	}
	require.Equal(t, 2, count(t, s))
}
