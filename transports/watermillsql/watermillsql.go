package watermillsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/lib/pq"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/inflight"
)

var (
	errClosed     = errors.New("watermill-sql transport is closed")
	errUnattached = errors.New("the watermill-sql transport has no store yet: call Attach")
)

// Transport keeps messages in the store's database. It is safe for concurrent
// use, once it is attached.
type Transport struct {
	cfg  Config
	wake waking

	mu     sync.Mutex
	db     *sql.DB // nil: not attached
	subs   map[*Subscriber]bool
	closed bool
}

var (
	_ transports.Transport  = (*Transport)(nil)
	_ transports.Attacher   = (*Transport)(nil)
	_ transports.Backlogger = (*Transport)(nil)
)

// New returns a transport that has no store yet.
func New(c Config) (*Transport, error) {
	c, err := c.complete()
	if err != nil {
		return nil, fmt.Errorf("watermillsql: %w", err)
	}
	return &Transport{cfg: c, wake: newWaking(), subs: map[*Subscriber]bool{}}, nil
}

// Attach implements [transports.Attacher]. The store must be a store.SQL on
// PostgreSQL, by way of lib/pq; if it is a store.Publisher too, its commits
// publish. What the transport needs is made in the schema that the store's
// connections use.
func (t *Transport) Attach(ctx context.Context, s store.Store) (inCommit bool, err error) {
	on, ok := s.(store.SQL)
	if !ok {
		return false, errors.New("watermillsql: the transport works in the database of a Postgres store, and the store is another")
	}
	db := on.DB()
	if _, ok := db.Driver().(*pq.Driver); !ok {
		return false, errors.New("watermillsql: the transport works in the database of a Postgres store, and the store is another")
	}
	if err := prepare(ctx, db); err != nil {
		return false, fmt.Errorf("watermillsql: make the tables: %w", err)
	}
	t.mu.Lock()
	t.db = db
	t.mu.Unlock()
	if l, ok := s.(listening); ok {
		t.wake.server(l, t.cfg.Log)
	}
	p, ok := s.(store.Publisher)
	if ok {
		p.PublishBy(statements)
	}
	return ok, nil
}

// prepare makes what the transport needs, unless it is there.
func prepare(ctx context.Context, db *sql.DB) error {
	return inTx(ctx, db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, sqlLock); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlSchema)
		return err
	})
}

func inTx(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// database returns the store's, or says that there is none.
func (t *Transport) database() (*sql.DB, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return nil, errClosed
	case t.db == nil:
		return nil, errUnattached
	}
	return t.db, nil
}

// Publisher implements [transports.Transport]. The publisher is a
// [transports.BatchPublisher]; what one call publishes is there as a whole or
// not at all.
func (t *Transport) Publisher() (message.Publisher, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errClosed
	}
	return publisher{t}, nil
}

// Subscriber implements [transports.Transport].
func (t *Transport) Subscriber(concurrency int) (message.Subscriber, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errClosed
	}
	s := &Subscriber{t: t, concurrency: max(concurrency, 1), open: inflight.Group{Err: errClosed}}
	t.subs[s] = true
	return s, nil
}

func (t *Transport) forget(s *Subscriber) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subs, s)
}

// Backlog implements [transports.Backlogger]: the messages that are not
// acknowledged. Where groups of plain watermill-sql read the topic, it is what
// none of them has read.
func (t *Transport) Backlog(ctx context.Context, name string) (n int, err error) {
	db, err := t.database()
	if err != nil {
		return 0, err
	}
	x := topicOf(name)
	var messages, offsets bool
	if err := db.QueryRowContext(ctx, sqlExist, x.messages, x.offsets).Scan(&messages, &offsets); err != nil {
		return 0, err
	}
	query := sqlCount
	switch {
	case !messages:
		return 0, nil
	case offsets:
		query = sqlCountUnread
	}
	err = db.QueryRowContext(ctx, of(x, query)).Scan(&n)
	if missing(err) {
		return 0, nil
	}
	return n, err
}

// missing reports whether err says that a table, or a function, is not there.
func missing(err error) bool {
	var e *pq.Error
	return errors.As(err, &e) && (e.Code == "42P01" || e.Code == "42883")
}

// Close implements [transports.Transport]. It does not close the store.
func (t *Transport) Close() error {
	t.mu.Lock()
	subs := make([]*Subscriber, 0, len(t.subs))
	for s := range t.subs {
		subs = append(subs, s)
	}
	t.closed = true
	t.mu.Unlock()
	var all sync.WaitGroup
	for _, s := range subs {
		all.Go(func() { _ = s.Close() })
	}
	all.Wait()
	t.wake.close()
	return nil
}
