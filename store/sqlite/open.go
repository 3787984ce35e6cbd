package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/millrace-go/millrace/store"
)

// Store keeps rows in a file. It implements [store.Store], [store.SQL] and
// [store.Migrator]. All methods are safe for concurrent use, also by several
// Stores and processes on one file.
type Store struct {
	path    string // absolute
	config  Config
	writer  *writer
	readers *sql.DB
	callers *sql.DB
	free    numbers // guarded by the writer's line
	cache   cache   // guarded by the writer's line
	wal     *wal

	mu     sync.RWMutex // held for reading by calls under way
	closed bool
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.SQL       = (*Store)(nil)
	_ store.Migrator  = (*Store)(nil)
	_ store.Pipelined = (*Store)(nil)
)

// Open opens the file at path, makes it if it is missing, and brings its
// schema to the newest version (see [store.Options].NoMigrate). It checks that
// the file can be written. The caller closes the Store. It starts nothing in
// the background.
//
// Open waits while others write, at most [Config].BusyTimeout. Errors:
// store.ErrSchema for a newer schema, or a missing or older one with
// NoMigrate; otherwise one line that says what is wrong with the path, the
// file or the settings. A file that is refused is left as it was.
func Open(ctx context.Context, path string, c Config) (*Store, error) {
	c, err := c.complete()
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	path, err = locate(path, c.Options.NoMigrate)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	s := &Store{path: path, config: c, wal: newWAL(path)}
	if err := s.connect(ctx); err != nil {
		return nil, errors.Join(err, s.disconnect())
	}
	return s, nil
}

// locate checks what stands at path, and makes path absolute.
func locate(path string, mustExist bool) (string, error) {
	if path == "" {
		return "", errors.New("no path of a file is given; for example sqlite:app.db")
	}
	if path == ":memory:" {
		return "", errors.New(`a database in memory has no file; use the store "memory:"`)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(abs)
	switch {
	case err == nil && info.IsDir():
		return "", fmt.Errorf("%s is a directory", abs)
	case err == nil:
		return abs, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	case mustExist:
		return "", fmt.Errorf("%w: %s does not exist; run millrace migrate", store.ErrSchema, abs)
	}
	if dir, err := os.Stat(filepath.Dir(abs)); err != nil || !dir.IsDir() {
		return "", fmt.Errorf("directory %s does not exist", filepath.Dir(abs))
	}
	return abs, nil
}

func (s *Store) connect(ctx context.Context) error {
	connector, err := sqlite.NewConnector(s.dsn(Normal, "_pragma=busy_timeout(0)", cacheSize(s.config.CacheMiB)))
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	s.writer = &writer{line: newLine(s.config.BusyTimeout), connector: connector}
	if err := s.prepareFile(ctx); err != nil {
		return s.blame(err)
	}
	busy := fmt.Sprintf("_pragma=busy_timeout(%d)", s.config.BusyTimeout.Milliseconds())
	small := cacheSize(min(s.config.CacheMiB, 4))
	readers, err := sqlite.NewConnector(s.dsn(Normal, busy, small, "_pragma=query_only(1)"))
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	callers, err := sqlite.NewConnector(s.dsn(s.config.Synchronous, busy, small, "_txlock=immediate"))
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	s.readers = sql.OpenDB(readers)
	s.readers.SetMaxOpenConns(4)
	s.readers.SetMaxIdleConns(4)
	s.callers = sql.OpenDB(queue{Connector: callers, line: s.writer.line})
	return nil
}

// journalLimit is the size in bytes that the write-ahead log is cut back to
// after it grew longer.
const journalLimit = 64 << 20

func cacheSize(mib int) string { return fmt.Sprintf("_pragma=cache_size(-%d)", mib*1024) }

// dsn names the file and the settings of a connection in the driver's way. The
// writer's own is Normal: where commits are Full, it flushes by itself (wal).
func (s *Store) dsn(sync Synchronous, settings ...string) string {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(s.path)}
	name := u.String() +
		fmt.Sprintf("?_pragma=synchronous(%s)", sync) +
		fmt.Sprintf("&_pragma=wal_autocheckpoint(%d)", s.config.CheckpointPages) +
		fmt.Sprintf("&_pragma=journal_size_limit(%d)", journalLimit) +
		"&_pragma=temp_store(memory)&_error_rc=1"
	for _, p := range settings {
		name += "&" + p
	}
	return name
}

// prepareFile checks the file, and makes it a store of the newest version.
func (s *Store) prepareFile(ctx context.Context) error {
	x, err := s.writer.open(ctx)
	if err != nil {
		return err
	}
	version, err := s.versionNow(ctx, x)
	if err != nil {
		return err
	}
	if err := migrations.Suits(version, s.config.Options.NoMigrate); err != nil {
		return err
	}
	if err := s.writer.insist(ctx, func() error { return turnToWAL(x) }); err != nil {
		return err
	}
	if version < migrations.Newest() && !s.config.Options.MigrateLater {
		_, _, err = s.migrate(ctx, migrations.Newest())
		return err
	}
	return probe(x)
}

// turnToWAL changes the journal mode of the file, unless it is changed.
func turnToWAL(x *session) error {
	var mode string
	note := func(row []driver.Value) error {
		mode = text(row[0])
		return nil
	}
	if err := x.query(sqlJournalMode, note); err != nil || mode == "wal" {
		return err
	}
	if err := x.query(sqlJournalWAL, note); err != nil {
		return err
	}
	if mode != "wal" {
		return errors.New("write-ahead logging does not work on this file system; the file must be on a local disk")
	}
	return nil
}

// probe finds out whether the file can be written; that somebody else writes
// to it is proof enough.
func probe(x *session) error {
	_, err := x.exec(sqlBegin)
	if isBusy(err) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = x.exec(sqlRollback)
	return err
}

// blame says in the user's words what is wrong with the file.
func (s *Store) blame(err error) error {
	dir := filepath.Dir(s.path)
	switch primaryCode(err) {
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("sqlite: %s is not an SQLite database: %w", s.path, err)
	case sqlite3.SQLITE_READONLY:
		return fmt.Errorf("sqlite: %w: %s, or its directory, is read-only for this process: %w", store.ErrUnavailable, s.path, err)
	case sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("sqlite: %w: %s can't be opened; this process must be allowed to read and write it, and to make files in %s: %w",
			store.ErrUnavailable, s.path, dir, err)
	}
	return explain(s.path, err)
}

// enter registers a call; leave ends it.
func (s *Store) enter(ctx context.Context, op string) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, explain(op, err)
	}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return nil, explain(op, store.ErrClosed)
	}
	return s.mu.RUnlock, nil
}

func (s *Store) now() store.Instant { return store.At(s.config.Options.Now()) }

// Path returns the absolute path of the file.
func (s *Store) Path() string { return s.path }

// Close implements [store.Store]. The last connection to the file, of any
// process, brings the write-ahead log into it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return explain("close", s.disconnect())
}

func (s *Store) disconnect() error {
	var all []error
	if s.callers != nil {
		all = append(all, s.callers.Close())
	}
	if s.readers != nil {
		all = append(all, s.readers.Close())
	}
	if s.writer != nil {
		all = append(all, s.writer.close())
	}
	all = append(all, s.wal.close())
	return errors.Join(all...)
}
