package sqlite

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// refused opens path, and returns the one line that says why that fails.
func refused(t *testing.T, path string, c Config) error {
	t.Helper()
	s, err := Open(t.Context(), path, c)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	require.Error(t, err)
	require.NotContains(t, err.Error(), "\n")
	return err
}

// L1
func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	dir := t.TempDir()
	letter := filepath.Join(dir, "letter.txt")
	content := []byte(strings.Repeat("Dear Sir or Madam, ", 500))
	require.NoError(t, os.WriteFile(letter, content, 0o600))

	require.ErrorContains(t, refused(t, letter, Config{}), "is not an SQLite database")
	left, err := os.ReadFile(letter)
	require.NoError(t, err)
	require.Equal(t, content, left)
	require.ErrorContains(t, refused(t, dir, Config{}), "is a directory")
	require.ErrorContains(t, refused(t, filepath.Join(dir, "none", "a.db"), Config{}), "does not exist")
	require.ErrorContains(t, refused(t, "", Config{}), "no path")
	require.ErrorContains(t, refused(t, ":memory:", Config{}), "memory:")
}

// L3
func TestOpenRefusesANewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "newer.db")
	s := open(t, path, Config{})
	_, err := s.DB().Exec("UPDATE millrace_meta SET value = 77 WHERE name = 'schema'")
	require.NoError(t, err)
	_, _, err = s.Migrate(t.Context())
	require.ErrorIs(t, err, store.ErrSchema)

	err = refused(t, path, Config{})
	require.ErrorIs(t, err, store.ErrSchema)
	require.ErrorContains(t, err, "version 77")
	require.ErrorContains(t, err, "up to 2")
}

// L3
func TestOpenWithoutMigrating(t *testing.T) {
	exact := Config{Options: store.Options{NoMigrate: true}}
	path := filepath.Join(t.TempDir(), "missing.db")
	require.ErrorIs(t, refused(t, path, exact), store.ErrSchema)
	require.NoFileExists(t, path)

	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.ErrorIs(t, refused(t, path, exact), store.ErrSchema)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, info.Size(), "it was left alone")

	open(t, path, Config{})
	open(t, path, exact)
}

// L3
func TestMigrateByHand(t *testing.T) {
	url := "sqlite://" + filepath.Join(t.TempDir(), "a.db")
	for _, before := range []int{0, migrations.Newest()} {
		from, to, err := store.Migrate(t.Context(), url, store.Options{NoMigrate: true})
		require.NoError(t, err)
		require.Equal(t, []int{before, migrations.Newest()}, []int{from, to})
	}
	s, err := store.Open(t.Context(), url, store.Options{NoMigrate: true})
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

// An application may keep its tables in the same file, whoever comes first.
func TestOpenFindsAFileWithOtherTables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	s := open(t, path, Config{})
	_, err := s.DB().Exec("CREATE TABLE messages (a); INSERT INTO messages VALUES (1)")
	require.NoError(t, err)
	from, to, err := s.MigrateTo(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, []int{migrations.Newest(), 0}, []int{from, to})
	require.NoError(t, s.Close())

	s = open(t, path, Config{})
	require.NoError(t, addOne(s))
	var n int
	require.NoError(t, s.DB().QueryRow("SELECT count(*) FROM messages").Scan(&n))
	require.Equal(t, 1, n)
}

// Every step down undoes the step up.
func TestMigrateDownAndUp(t *testing.T) {
	s := openNew(t, store.Options{})
	schema := func() (names []string) {
		rows, err := s.DB().Query("SELECT name || sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name")
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var name string
			require.NoError(t, rows.Scan(&name))
			names = append(names, name)
		}
		require.NoError(t, rows.Err())
		return names
	}
	whole := schema()
	for v := migrations.Newest() - 1; v >= 0; v-- {
		from, to, err := s.MigrateTo(t.Context(), v)
		require.NoError(t, err)
		require.Equal(t, []int{v + 1, v}, []int{from, to})
	}
	require.Empty(t, schema())
	require.Error(t, addOne(s))
	from, to, err := s.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{0, migrations.Newest()}, []int{from, to})
	require.Equal(t, whole, schema())
	require.NoError(t, addOne(s))
	_, _, err = s.MigrateTo(t.Context(), migrations.Newest()+1)
	require.Error(t, err)
}

func TestOpenRefusesWhatItMayNotWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "locked.db")
	require.NoError(t, open(t, path, Config{}).Close())

	require.NoError(t, os.Chmod(path, 0o444))
	require.Contains(t, asNobody(t, path), "read-only")

	require.NoError(t, os.Chmod(dir, 0o555))
	require.Contains(t, asNobody(t, path), dir)
	require.Contains(t, asNobody(t, filepath.Join(dir, "new.db")), dir)
	require.NoFileExists(t, filepath.Join(dir, "new.db"))
}

// asNobody opens path in a process that file permissions hold for, and returns
// what it says.
func asNobody(t *testing.T, path string) string {
	t.Helper()
	cmd := process(t, "open", path)
	if os.Getuid() == 0 {
		for d := filepath.Dir(path); d != filepath.Dir(os.TempDir()); d = filepath.Dir(d) {
			info, err := os.Stat(d)
			require.NoError(t, err)
			require.NoError(t, os.Chmod(d, info.Mode()|0o555))
		}
		cmd = exec.CommandContext(t.Context(), "/proc/self/exe")
		cmd.Env = append(os.Environ(), envRole+"=open", envFile+"="+path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	said, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, 1, strings.Count(string(said), "\n"), "%s", said)
	return string(said)
}

func TestURLs(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, err := os.Getwd()
	require.NoError(t, err)
	require.NoError(t, os.Mkdir("sub", 0o700))
	for url, want := range map[string]string{
		"sqlite://" + dir + "/abs.db":              "abs.db",
		"sqlite:rel.db":                            "rel.db",
		"sqlite://host.db":                         "host.db",
		"sqlite://sub/a.db":                        "sub/a.db",
		"sqlite:sub/with%20space%3F%23%25.db":      "sub/with space?#%.db",
		"sqlite:set.db?synchronous=normal&cache=8": "set.db",
	} {
		s, err := store.Open(t.Context(), url, store.Options{})
		require.NoError(t, err, url)
		require.Equal(t, filepath.Join(dir, want), s.(*Store).Path())
		require.FileExists(t, want)
		require.NoError(t, s.Close())
	}
}

func TestURLsThatAreWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	for url, says := range map[string]string{
		"sqlite:a.db?sync=full":                    `unknown setting "sync"`,
		"sqlite:a.db?synchronous=off":              `synchronous is "off"`,
		"sqlite:a.db?synchronous=":                 `"synchronous" of the URL must be given once`,
		"sqlite:a.db?cache=1&cache=2":              "must be given once",
		"sqlite:a.db?cache=lots":                   "cache=lots",
		"sqlite:a.db?busy_timeout=-1s":             "must not be negative",
		"sqlite:a.db?busy_timeout=soon":            "busy_timeout=soon",
		"sqlite:a.db?checkpoint=-5":                "must not be negative",
		"sqlite:a.db#part":                         "the URL must be",
		"sqlite:":                                  "no path",
		"sqlite://user:secret@host/a.db":           "the URL must be",
		"sqlite:a.db?_pragma=journal_mode(DELETE)": "unknown setting",
	} {
		_, err := store.Open(t.Context(), url, store.Options{})
		require.ErrorContains(t, err, says, url)
		require.NotContains(t, err.Error(), "secret")
		require.NoFileExists(t, "a.db")
	}
}

func TestSettingsReachEveryConnection(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "a.db"),
		Config{Synchronous: Normal, BusyTimeout: 7 * time.Second, CacheMiB: 3, CheckpointPages: 123})
	for pragma, want := range map[string]int{
		"synchronous": 1, "busy_timeout": 7000, "cache_size": -3072, "wal_autocheckpoint": 123,
	} {
		var got int
		require.NoError(t, s.DB().QueryRow("PRAGMA "+pragma).Scan(&got))
		require.Equal(t, want, got, pragma)
	}
	var mode string
	require.NoError(t, s.DB().QueryRow("PRAGMA journal_mode").Scan(&mode))
	require.Equal(t, "wal", mode)
	_, err := s.readers.Exec("DELETE FROM millrace_meta")
	require.Error(t, err, "readers only read")
}

func TestOpenHeedsItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, filepath.Join(t.TempDir(), "a.db"), Config{})
	require.ErrorIs(t, err, context.Canceled)
}
