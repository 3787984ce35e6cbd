package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/millrace-go/millrace/store"
)

// DB implements [store.SQL]: it returns the handle on which the application
// begins transactions that a step's commit can be part of ([Store.CommitTx]),
// and does whatever else it does in the file. The store closes it.
//
// A transaction of it, unless begun as read-only, takes the writer at once: it
// waits in line with the store's own calls, for at most [Config].BusyTimeout
// and as long as its context lasts, and until it ends nobody else writes. So
// keep it short. Inside of it, writing by other ways than the transaction and
// CommitTx waits for its end, that is, in vain.
func (s *Store) DB() *sql.DB { return s.callers }

// CommitTx implements [store.SQL]. It may be called several times in one
// transaction. After an error the transaction stands as before the call. The
// transaction may come from any handle on the same file; one that was not
// begun with DB takes the writer here, and finds store.ErrUnavailable when
// something was written since it began to read.
//
// Errors: store.ErrUnavailable, store.ErrCorrupt, store.ErrClosed, the
// context's, and one that says which file the transaction is on if that is
// another one.
func (s *Store) CommitTx(ctx context.Context, tx *sql.Tx, keys store.Keys, decide store.Decide) error {
	const op = "commit in a transaction"
	leave, err := s.enter(ctx, op)
	if err != nil {
		return err
	}
	defer leave()
	f := newForeign(tx)
	defer f.close()
	if err := s.recognize(f); err != nil {
		return explain(op, err)
	}
	return explain(op, s.commitForeign(f, keys, decide))
}

// commitForeign commits inside a savepoint, so that after an error nothing of
// it is left in the transaction.
func (s *Store) commitForeign(f *foreign, keys store.Keys, decide store.Decide) error {
	if _, err := f.exec(sqlSavepoint); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			_, _ = f.exec(sqlRollbackTo) // fails if SQLite has undone everything by itself
			_, _ = f.exec(sqlRelease)
		}
	}()
	if _, err := f.exec(sqlLock); err != nil {
		return err
	}
	c := commit{x: f, now: s.now()}
	if _, err := c.run(keys, decide); err != nil {
		return err
	}
	_, err := f.exec(sqlRelease)
	done = err == nil
	return err
}

// recognize makes sure that the transaction is on this store's file.
func (s *Store) recognize(f *foreign) error {
	var file string
	err := f.query(sqlDatabaseList, func(row []driver.Value) error {
		if name, _ := row[1].(string); name == "main" {
			file, _ = row[2].(string)
		}
		return nil
	})
	switch {
	case errors.Is(err, sql.ErrTxDone):
		return err
	case err != nil:
		return fmt.Errorf("the transaction is not on an SQLite file (begin it with the store's DB): %w", err)
	case !s.isFile(file):
		return fmt.Errorf("the transaction is on %q, the store on %q; begin it with the store's DB", file, s.path)
	}
	return nil
}

func (s *Store) isFile(path string) bool {
	if path == s.path {
		return true
	}
	if path == "" {
		return false
	}
	mine, err := os.Stat(s.path)
	if err != nil {
		return false
	}
	other, err := os.Stat(path)
	return err == nil && os.SameFile(mine, other)
}

// queue is a connector whose connections stand in line with the writer before
// they begin a transaction that writes.
type queue struct {
	driver.Connector
	line line
}

func (q queue) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := q.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := c.(fullConn)
	if !ok {
		return nil, errors.Join(errors.New("the driver's connection lacks methods"), c.Close())
	}
	return &queued{fullConn: full, line: q.line}, nil
}

// fullConn is what database/sql makes use of in the driver's connections.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type queued struct {
	fullConn
	line line
}

func (c *queued) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if opts.ReadOnly {
		return c.fullConn.BeginTx(ctx, opts)
	}
	if err := c.line.enter(ctx); err != nil {
		return nil, err
	}
	tx, err := c.fullConn.BeginTx(ctx, opts)
	if err != nil {
		c.line.leave()
		return nil, explain("begin", err)
	}
	return &turn{Tx: tx, leave: sync.OnceFunc(c.line.leave)}, nil
}

// turn is a transaction that leaves the line at its end.
type turn struct {
	driver.Tx
	leave func()
}

func (t *turn) Commit() error {
	defer t.leave()
	return t.Tx.Commit()
}

func (t *turn) Rollback() error {
	defer t.leave()
	return t.Tx.Rollback()
}
