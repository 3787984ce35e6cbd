// Package memory is a store in the memory of the process: for tests, for
// trials, and for measuring what everything but a database costs. It loses
// nothing but what the process loses when it ends.
//
// Importing it registers the scheme memory: the URL "memory:" opens a database
// of its own, "memory:name" the one that the process knows under that name.
//
// One mutex guards a database. Rows that were committed are never changed in
// place, but replaced; so snapshots and the index share them without copying.
package memory

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/millrace-go/millrace/store"
)

func init() { store.Register("memory", openURL) }

// Store is a handle on a database in memory. It implements [store.Store]; all
// methods are safe for concurrent use. They block only for the database's
// mutex, which a call holds while it works; a context that has ended is
// noticed before that.
//
// What Commit is given in [store.Changes] is kept as it is: the caller must
// not change it, or what it points to, afterwards. What a Snapshot gives is
// shared with the store. Messages, runs and rows from Grab and Find are copies
// whose byte slices and maps are shared and must not be changed either.
type Store struct {
	db     *database
	now    func() time.Time
	closed bool // guarded by db.mu
}

var _ store.Store = (*Store)(nil)

// The named databases with open handles. Its lock is taken before a database's.
var named = struct {
	sync.Mutex
	databases map[string]*database
}{databases: map[string]*database{}}

// New returns a handle on a new, empty database that no other handle shares.
func New(o store.Options) *Store { return newHandle(newDatabase(""), o) }

// Open returns a handle on the database that the process knows as name, a new
// and empty one if no handle on it is open. The database lives until the last
// handle on it is closed. An empty name is [New].
func Open(name string, o store.Options) *Store {
	if name == "" {
		return New(o)
	}
	named.Lock()
	defer named.Unlock()
	db := named.databases[name]
	if db == nil {
		db = newDatabase(name)
		named.databases[name] = db
	}
	db.handles++
	return newHandle(db, o)
}

func newHandle(db *database, o store.Options) *Store {
	now := o.Now
	if now == nil {
		now = time.Now
	}
	return &Store{db: db, now: now}
}

func openURL(ctx context.Context, u *url.URL, o store.Options) (store.Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if u.Host != "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New(`the URL must be "memory:" or "memory:name"`)
	}
	name, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return nil, fmt.Errorf("name of the database: %w", err)
	}
	return Open(name, o), nil
}

// Close gives the handle back; the last handle's Close drops the data. It
// waits for calls under way. Later calls return [store.ErrClosed], but for
// Close, which returns nil.
func (s *Store) Close() error {
	named.Lock()
	defer named.Unlock()
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.db.handles--
	if s.db.name != "" && s.db.handles == 0 {
		delete(named.databases, s.db.name)
	}
	return nil
}

// enter locks the database for one call. Without an error, the caller unlocks.
func (s *Store) enter(ctx context.Context, call string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memory: %s: %w", call, err)
	}
	s.db.mu.Lock()
	if s.closed {
		s.db.mu.Unlock()
		return fmt.Errorf("memory: %s: %w", call, store.ErrClosed)
	}
	return nil
}

func (s *Store) instant() store.Instant { return store.At(s.now()) }
