package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/millrace-go/millrace/store"
)

// line is where those of this process stand who want to write to the file:
// one is served at a time, in the order of coming. Its channel holds a token
// while somebody is served.
type line struct {
	served   chan struct{}
	patience time.Duration
}

func newLine(patience time.Duration) line {
	return line{served: make(chan struct{}, 1), patience: patience}
}

var errPatience = errors.New("others were writing all the time")

// enter waits for its turn until the patience is over or ctx ends.
func (l line) enter(ctx context.Context) error {
	select {
	case l.served <- struct{}{}:
		return nil
	default:
	}
	t := time.NewTimer(l.patience)
	defer t.Stop()
	select {
	case l.served <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return fmt.Errorf("%w: %w for %v", store.ErrUnavailable, errPatience, l.patience)
	}
}

func (l line) leave() { <-l.served }

// writer is the connection that writes. Its methods are safe for concurrent
// use; they take turns.
type writer struct {
	line
	connector driver.Connector
	session   *session // nil: to be opened; guarded by the line
}

// work is what is done in a transaction; write tells whether it is to be
// committed.
type work func(s *session) (write bool, err error)

// do runs fn in a transaction that has the file to itself, and commits when fn
// asks for it. While it waits it heeds ctx; once fn runs, it goes on to the
// end. Where then is not nil, it is called with what came of the commit, if
// there was one, before others have their turn.
func (w *writer) do(ctx context.Context, op string, fn work, then func(error)) error {
	if err := ctx.Err(); err != nil {
		return explain(op, err)
	}
	if err := w.enter(ctx); err != nil {
		return explain(op, err)
	}
	defer w.leave()
	return explain(op, w.transact(ctx, fn, then))
}

func (w *writer) transact(ctx context.Context, fn work, then func(error)) error {
	s, err := w.open(ctx)
	if err != nil {
		return err
	}
	if err := w.begin(ctx, s); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			w.rollback()
		}
	}()
	write, err := fn(s)
	if err != nil || !write {
		return err
	}
	done = true
	err = w.commit(s)
	if then != nil {
		then(err)
	}
	return err
}

// open returns the connection, a new one if the last one broke. Connecting
// reads the file, which others may have locked.
func (w *writer) open(ctx context.Context) (*session, error) {
	if w.session != nil {
		return w.session, nil
	}
	err := w.insist(ctx, func() error {
		conn, err := w.connector.Connect(ctx)
		if err == nil {
			w.session = newSession(conn)
		}
		return err
	})
	return w.session, err
}

// begin takes SQLite's lock, for which other processes, and transactions that
// were not begun by Store.DB, compete.
func (w *writer) begin(ctx context.Context, s *session) error {
	return w.insist(ctx, func() error {
		_, err := s.exec(sqlBegin)
		return err
	})
}

// insist calls try until it finds the file not busy. SQLite tells nobody when
// a lock is free, so it asks again at short intervals that are not in step
// with others'.
func (w *writer) insist(ctx context.Context, try func() error) error {
	err := try()
	if !isBusy(err) {
		return err
	}
	const longest = 16 * time.Millisecond
	deadline := time.Now().Add(w.patience)
	t := time.NewTimer(0)
	defer t.Stop()
	for pause := time.Millisecond / 2; isBusy(err) && time.Now().Before(deadline); pause = min(2*pause, longest) {
		t.Reset(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		err = try()
	}
	return err
}

func (w *writer) commit(s *session) error {
	_, err := s.exec(sqlCommit)
	if err == nil {
		return nil
	}
	w.rollback()
	if outcomeUnknown(err) {
		return fmt.Errorf("%w: %w", store.ErrUnknown, err)
	}
	return err
}

// rollback undoes the transaction. Where SQLite has done so by itself, or the
// connection is broken, a new connection takes its place.
func (w *writer) rollback() {
	if _, err := w.session.exec(sqlRollback); err != nil {
		w.drop()
	}
}

func (w *writer) drop() {
	if w.session != nil {
		_ = w.session.close() // nothing depends on it any more
		w.session = nil
	}
}

// close must not be called while do is under way. It does not wait for
// transactions of callers, which have connections of their own.
func (w *writer) close() error {
	if w.session == nil {
		return nil
	}
	err := w.session.close()
	w.session = nil
	return err
}
