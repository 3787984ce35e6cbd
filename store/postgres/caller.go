package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/millrace-go/millrace/store"
)

// DB implements [store.SQL]: it returns the handle on which the application
// begins transactions that a step's commit can be part of ([Store.CommitTx]),
// and does whatever else it does in the database. The store closes it. A
// transaction's locks make others wait as long as it lasts, so keep it short.
func (s *Store) DB() *sql.DB { return s.callers }

// CommitTx implements [store.SQL]. It may be called several times in one
// transaction. After an error the transaction stands as before the call. The
// transaction may come from any handle on the same database with the same
// search_path, of the isolation level READ COMMITTED; at a higher one, a
// conflict with another commit is an error and ends the transaction.
//
// Errors: store.ErrUnavailable, store.ErrCorrupt, store.ErrSchema (also when
// the transaction is on a database without millrace), store.ErrClosed, the
// context's, and one that says so if the transaction is on another store.
func (s *Store) CommitTx(ctx context.Context, tx *sql.Tx, keys store.Keys, decide store.Decide) error {
	const op = "commit in a transaction"
	leave, err := s.enter(ctx, op)
	if err != nil {
		return err
	}
	defer leave()
	f := &foreign{tx: tx}
	c := commit{s: s, keys: keys, decide: decide}
	for {
		err := s.commitForeign(f, &c)
		if err == nil || !c.again(err) {
			return explain(op, err)
		}
	}
}

// commitForeign commits inside a savepoint, so that after an error nothing of
// it is left in the transaction.
func (s *Store) commitForeign(f *foreign, c *commit) error {
	if err := f.exec(sqlSavepoint); err != nil {
		return err
	}
	err := s.applyForeign(f, c)
	if err == nil {
		return f.exec(sqlRelease)
	}
	if undone := f.exec(sqlRollbackTo); undone == nil {
		_ = f.exec(sqlRelease) // the savepoint stays until the transaction's end
	}
	return err
}

func (s *Store) applyForeign(f *foreign, c *commit) error {
	snap, changes, err := s.resolve(f, &c.keys, c.decide)
	if err != nil || changes == nil {
		return err
	}
	w := changer{x: f, snap: snap, queues: &s.queues, at: s.at()}
	s.cache.doubt(&c.keys, changes) // until the caller commits
	if err := w.apply(changes); err != nil {
		return err
	}
	if err := s.publishForeign(f, changes.Publish); err != nil {
		return err
	}
	if free := s.queues.lower(changes.PutMessages); len(free) > 0 {
		return s.tell(f, sqlWakeInTx, free)
	}
	return nil
}

func (s *Store) publishForeign(f *foreign, list []store.Publication) error {
	if len(list) == 0 {
		return nil
	}
	statements, err := s.translate(list)
	if err != nil {
		return err
	}
	for _, st := range statements {
		if _, err := f.tx.Exec(st.Text, st.Args...); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	return nil
}

// foreign is a transaction of the caller's.
type foreign struct {
	tx  *sql.Tx
	buf buffers
}

func (f *foreign) buffers() *buffers { return &f.buf }

func (f *foreign) exec(q *statement) error {
	if _, err := f.tx.Exec(q.text); err != nil {
		return fmt.Errorf("%s: %w", q.name, err)
	}
	return nil
}

func (f *foreign) query(q *statement, each func([]driver.Value) error, args ...any) error {
	for i, v := range args {
		if a, ok := v.(*array); ok {
			args[i] = a.literal()
		}
	}
	rows, err := f.tx.Query(q.text, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", q.name, err)
	}
	err = errors.Join(scanRows(rows, each), rows.Close())
	if err != nil {
		return fmt.Errorf("%s: %w", q.name, err)
	}
	return nil
}

// scanRows calls each for every row of a database/sql result.
func scanRows(rows *sql.Rows, each func([]driver.Value) error) error {
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	row := make([]driver.Value, len(columns))
	into := make([]any, len(columns))
	for i := range row {
		into[i] = (*any)(&row[i])
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if each == nil {
			continue
		}
		if err := each(row); err != nil {
			return err
		}
	}
	return rows.Err()
}
