package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/storetest"
)

// open opens the file at path and closes it when t ends.
func open(t testing.TB, path string, c Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// openNew opens a new file.
func openNew(t testing.TB, o store.Options) *Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "test.db"), Config{Options: o})
}

// damage overwrites a body by way of the application's handle.
func damage(t testing.TB, s store.Store, statement string, key int64) {
	t.Helper()
	if _, err := s.(*Store).DB().ExecContext(t.Context(), statement, []byte{0xff}, key); err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Factory{
		Open: func(t testing.TB, o store.Options) store.Store { return openNew(t, o) },
		Share: func(t testing.TB, s store.Store, o store.Options) store.Store {
			return open(t, s.(*Store).Path(), Config{Options: o})
		},
		Reopen: func(t testing.TB, s store.Store, o store.Options) store.Store {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, s.(*Store).Path(), Config{Options: o})
		},
		DamageMessage: func(t testing.TB, s store.Store, seq int64) {
			damage(t, s, "UPDATE millrace_messages SET body = ? WHERE seq = ?", seq)
		},
		DamageRun: func(t testing.TB, s store.Store, key int64) {
			damage(t, s, "UPDATE millrace_runs SET body = ? WHERE key = ?", key)
		},
	})
}
