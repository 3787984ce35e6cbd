package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lib/pq"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/internal/known"
)

// Store keeps rows in a PostgreSQL database. It implements [store.Store],
// [store.SQL], [store.Pipelined], [store.Migrator], [store.Waker] and
// [store.Publisher]. All methods are safe for concurrent use, also by several
// Stores and processes on one database.
type Store struct {
	place   string                 // host and port
	dsn     string                 // of the listener
	name    atomic.Pointer[string] // that the store was given when it was made
	config  Config
	pool    *pool
	callers *sql.DB
	queues  queues
	waking  waking

	claims  claims
	cache   cache
	numbers numbers
	pace    known.Pace
	trust   known.Doubt

	publish func([]store.Publication) ([]store.Statement, error)

	mu     sync.RWMutex // held for reading by calls under way
	closed bool
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.SQL       = (*Store)(nil)
	_ store.Pipelined = (*Store)(nil)
	_ store.Migrator  = (*Store)(nil)
	_ store.Waker     = (*Store)(nil)
	_ store.Publisher = (*Store)(nil)
)

// Open opens the database that a URL or a connection string of lib/pq names,
// without the settings of [Config], and brings its schema to the newest version
// (see [store.Options].NoMigrate). The caller closes the Store. It starts
// nothing in the background.
//
// A server that is down is told within [Config].ConnectTimeout. Errors:
// store.ErrUnavailable; store.ErrSchema for a newer schema, or a missing or
// older one with NoMigrate; otherwise one line that says what is wrong with the
// server or the settings, and where.
func Open(ctx context.Context, dsn string, c Config) (*Store, error) {
	c, err := c.complete()
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	own, err := pq.NewConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	own.ConnectTimeout = c.ConnectTimeout
	s := &Store{place: place(own), dsn: dsn, config: c, queues: newQueues(), waking: newWaking(),
		claims: newClaims(), numbers: numbers{goodFor: numbersAge}}
	s.name.Store(new(string))
	if err := s.connect(ctx, own); err != nil {
		return nil, errors.Join(fmt.Errorf("postgres: %s: %w", s.place, oneLine(err)), s.disconnect())
	}
	return s, nil
}

// oneLine gives an error of connecting its meaning.
func oneLine(err error) error {
	if meaning := meaningOf(err); meaning != nil && !errors.Is(err, meaning) {
		return fmt.Errorf("%w: %w", meaning, err)
	}
	return err
}

func (s *Store) connect(ctx context.Context, base pq.Config) error {
	own := base.Clone()
	own.BinaryParameters = true
	own.Runtime = maps.Clone(own.Runtime)
	if own.Runtime == nil {
		own.Runtime = map[string]string{}
	}
	maps.Copy(own.Runtime, s.config.quiet())
	if own.ApplicationName == "" {
		own.ApplicationName = "millrace"
	}
	connector, err := pq.NewConnectorConfig(own)
	if err != nil {
		return err
	}
	connector.Dialer(dialer{patience: s.config.StatementTimeout + grace})
	s.pool = newPool(connector, s.config.Pool)

	callers, err := pq.NewConnectorConfig(base)
	if err != nil {
		return err
	}
	callers.Dialer(dialer{})
	s.callers = sql.OpenDB(callers)
	s.callers.SetMaxOpenConns(s.config.CallerPool)
	s.callers.SetMaxIdleConns(s.config.CallerPool)
	return s.prepare(ctx)
}

// prepare checks the server, and brings the schema to the newest version.
func (s *Store) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.ConnectTimeout+s.config.StatementTimeout)
	defer cancel()
	var version int
	err := s.pool.with(ctx, func(x *session) error {
		if err := checkServer(x); err != nil {
			return err
		}
		var err error
		version, err = versionOf(x)
		return err
	})
	if err != nil {
		return err
	}
	if err := migrations.Suits(version, s.config.Options.NoMigrate); err != nil {
		return err
	}
	if version < migrations.Newest() {
		if s.config.Options.MigrateLater {
			return nil
		}
		if _, _, err := s.migrate(ctx, migrations.Newest()); err != nil {
			return err
		}
	}
	return s.pool.with(ctx, s.learnName)
}

// learnName reads the name of the store.
func (s *Store) learnName(x *session) error {
	return x.query(sqlStoreName, func(row []driver.Value) error {
		name := text(row[0])
		s.name.Store(&name)
		return nil
	})
}

// oldestServer is PostgreSQL 13: gen_random_uuid.
const oldestServer = 130000

func checkServer(x *session) error {
	var schema, encoding string
	var version int64
	err := x.query(sqlSchemaName, func(row []driver.Value) error {
		schema, encoding, version = text(row[0]), text(row[1]), integer(row[2])
		return nil
	})
	switch {
	case err != nil:
		return err
	case version < oldestServer:
		return fmt.Errorf("the server has version %d; PostgreSQL 13 or newer is needed", version/10000)
	case !strings.EqualFold(encoding, "UTF8"):
		return fmt.Errorf("the database is encoded in %s; make one with ENCODING 'UTF8'", encoding)
	case schema == "":
		return errors.New("no schema of the search_path exists; make it with CREATE SCHEMA")
	}
	return nil
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

// at is the injected clock's time as a parameter, nil for the server's.
func (s *Store) at() any {
	if s.config.Options.Now == nil {
		return nil
	}
	return int64(store.At(s.config.Options.Now()))
}

// Close implements [store.Store]. A call of Wake must have ended.
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
	if s.pool != nil {
		s.stopWaking() // the last Wake may have returned before its context ended
		all = append(all, s.pool.close())
	}
	return errors.Join(all...)
}
