package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// executor runs statements: the writer's own connection, or a transaction of
// the caller's. Arguments and columns are int64, string, []byte or nil.
type executor interface {
	// exec runs q and returns how many rows it changed.
	exec(q *statement, args ...driver.Value) (int64, error)

	// query runs q and calls each for every row. The row is valid during
	// the call; what it points to stays so.
	query(q *statement, each func(row []driver.Value) error, args ...driver.Value) error
}

// always is the context of what runs in a transaction: once begun it is
// brought to its end, since a COMMIT that is interrupted half way tells nobody
// whether it took effect.
var always = context.Background()

// session is a connection to the file with its prepared statements. Not for
// concurrent use. It speaks to the driver itself: database/sql would lock,
// copy and convert around every statement.
type session struct {
	conn     driver.Conn
	prepared []prepared // by statement.index
	args     []driver.NamedValue
	row      []driver.Value
}

type prepared interface {
	driver.StmtExecContext
	driver.StmtQueryContext
	Close() error
}

func newSession(conn driver.Conn) *session {
	return &session{conn: conn, prepared: make([]prepared, len(statements))}
}

func (s *session) exec(q *statement, args ...driver.Value) (int64, error) {
	p, err := s.prepare(q)
	if err != nil {
		return 0, err
	}
	res, err := p.ExecContext(always, s.number(args))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", q.name, err)
	}
	return res.RowsAffected()
}

func (s *session) query(q *statement, each func([]driver.Value) error, args ...driver.Value) error {
	p, err := s.prepare(q)
	if err != nil {
		return err
	}
	rows, err := p.QueryContext(always, s.number(args))
	if err != nil {
		return fmt.Errorf("%s: %w", q.name, err)
	}
	err = s.scan(rows, each)
	if closeErr := rows.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", q.name, err)
	}
	return nil
}

func (s *session) scan(rows driver.Rows, each func([]driver.Value) error) error {
	n := len(rows.Columns())
	if cap(s.row) < n {
		s.row = make([]driver.Value, n)
	}
	row := s.row[:n]
	for {
		err := rows.Next(row)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = each(row)
		}
		if err != nil {
			return err
		}
	}
}

func (s *session) prepare(q *statement) (prepared, error) {
	if p := s.prepared[q.index]; p != nil {
		return p, nil
	}
	st, err := s.conn.(driver.ConnPrepareContext).PrepareContext(always, q.text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q.name, err)
	}
	p := st.(prepared)
	s.prepared[q.index] = p
	return p, nil
}

// number makes arguments the driver's, in a buffer that is used again.
func (s *session) number(args []driver.Value) []driver.NamedValue {
	s.args = s.args[:0]
	for i, v := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return s.args
}

// script runs several statements at once, unprepared.
func (s *session) script(text string) error {
	_, err := s.conn.(driver.ExecerContext).ExecContext(always, text, nil)
	return err
}

// close closes the connection, which undoes a transaction that is open.
func (s *session) close() error {
	for _, p := range s.prepared {
		if p != nil {
			_ = p.Close() // what matters is told by closing the connection
		}
	}
	return s.conn.Close()
}

// foreign is a transaction of the caller's. Statements that it prepares live
// as long as the transaction.
type foreign struct {
	tx       *sql.Tx
	prepared map[*statement]*sql.Stmt
}

func newForeign(tx *sql.Tx) *foreign {
	return &foreign{tx: tx, prepared: map[*statement]*sql.Stmt{}}
}

func (f *foreign) exec(q *statement, args ...driver.Value) (int64, error) {
	st, err := f.prepare(q)
	if err != nil {
		return 0, err
	}
	res, err := st.Exec(anys(args)...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", q.name, err)
	}
	return res.RowsAffected()
}

func (f *foreign) query(q *statement, each func([]driver.Value) error, args ...driver.Value) error {
	st, err := f.prepare(q)
	if err != nil {
		return err
	}
	rows, err := st.Query(anys(args)...)
	if err != nil {
		return fmt.Errorf("%s: %w", q.name, err)
	}
	defer rows.Close()
	if err := scanRows(rows, each); err != nil {
		return fmt.Errorf("%s: %w", q.name, err)
	}
	return nil
}

func (f *foreign) prepare(q *statement) (*sql.Stmt, error) {
	if st := f.prepared[q]; st != nil {
		return st, nil
	}
	st, err := f.tx.Prepare(q.text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q.name, err)
	}
	f.prepared[q] = st
	return st, nil
}

func (f *foreign) close() {
	for _, st := range f.prepared {
		_ = st.Close() // the transaction's end closes it anyway
	}
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
		if err := each(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

func anys(args []driver.Value) []any {
	all := make([]any, len(args))
	for i, v := range args {
		all[i] = v
	}
	return all
}
