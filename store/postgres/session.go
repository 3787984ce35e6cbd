package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/lib/pq/oid"
)

// executor runs statements: a connection of the store's own, or a transaction
// of the caller's. Arguments are int64, string, bool, []byte, *array or nil.
type executor interface {
	// exec runs q, which has no arguments and no answer.
	exec(q *statement) error

	// query runs q and calls each for every row. The row, and bytes that it
	// points to, are valid during the call.
	query(q *statement, each func(row []driver.Value) error, args ...any) error

	// buffers are for building arguments.
	buffers() *buffers
}

// always is the context of what runs in a transaction: once begun it is
// brought to its end. The server's timeouts, and the connection's, bound it.
var always = context.Background()

// session is a connection with its prepared statements. Not for concurrent
// use. It speaks to the driver itself: database/sql would lock, copy and
// convert around every statement.
type session struct {
	conn     driver.Conn
	prepared []prepared          // by statement.index
	others   map[string]prepared // of a broker in the same database
	args     []driver.NamedValue
	row      []driver.Value
	buf      buffers
	backend  backend
	mark     int64 // of its commits
	number   int64 // of the last one under this mark
	age      int64 // of the pool, when it was opened
	broken   bool
}

type prepared interface {
	driver.StmtExecContext
	driver.StmtQueryContext
	Close() error
}

// backend is the server's process at the other end.
type backend struct{ pid, since int64 }

// commitsToMark is how many commits have the same mark: the row of a mark has a
// version for each of them until a vacuum.
const commitsToMark = 500

func newSession(conn driver.Conn) *session {
	return &session{conn: conn, prepared: make([]prepared, len(statements)), mark: newMark()}
}

// newMark is never 0, which means none.
func newMark() int64 { return rand.Int64N(1<<62) + 1 }

// nextMark gives what the next commit writes.
func (s *session) nextMark() (mark, number int64) {
	if s.number++; s.number > commitsToMark {
		s.mark, s.number = newMark(), 1
	}
	return s.mark, s.number
}

func (s *session) buffers() *buffers { return &s.buf }

// exec sends q unprepared: it is a word or two.
func (s *session) exec(q *statement) error { return s.script(q.name, q.text) }

// script runs several statements at once, unprepared.
func (s *session) script(name, text string) error {
	_, err := s.conn.(driver.ExecerContext).ExecContext(always, text, nil)
	return s.note(name, err)
}

func (s *session) query(q *statement, each func([]driver.Value) error, args ...any) error {
	p := s.prepared[q.index]
	if p == nil {
		var err error
		if p, err = s.prepare(q.name, q.text); err != nil {
			return err
		}
		s.prepared[q.index] = p
	}
	rows, err := p.QueryContext(always, s.numbered(args))
	if err != nil {
		return s.note(q.name, err)
	}
	err = s.scan(rows, each)
	if closeErr := rows.Close(); err == nil {
		err = closeErr
	}
	return s.note(q.name, err)
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
		if err != nil {
			return err
		}
		if each == nil {
			continue
		}
		if err := each(row); err != nil {
			return err
		}
	}
}

func (s *session) prepare(name, text string) (prepared, error) {
	st, err := s.conn.(driver.ConnPrepareContext).PrepareContext(always, text)
	if err != nil {
		return nil, s.note(name, err)
	}
	return st.(prepared), nil
}

// numbered makes arguments the driver's, in a buffer that is used again.
func (s *session) numbered(args []any) []driver.NamedValue {
	s.args = s.args[:0]
	for i, v := range args {
		if a, ok := v.(*array); ok {
			v = a.binary()
		}
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return s.args
}

// note remembers when the connection broke.
func (s *session) note(name string, err error) error {
	if err == nil {
		return nil
	}
	if v, ok := s.conn.(driver.Validator); cut(err) || ok && !v.IsValid() {
		s.broken = true
	}
	return fmt.Errorf("%s: %w", name, err)
}

// run executes a statement that is not the store's own. Bytes are given as the
// type of the parameter wants them: the driver can't know it.
func (s *session) run(text string, args []any) error {
	p := s.others[text]
	if p == nil {
		var err error
		if p, err = s.prepareOther(text); err != nil {
			return err
		}
	}
	types := p.(*typed).types
	values := make([]driver.NamedValue, len(args))
	for i, v := range args {
		if b, ok := v.([]byte); ok && b != nil && i < len(types) && types[i] != int64(oid.T_bytea) {
			v = string(b)
		}
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	for i := range values {
		v, err := driver.DefaultParameterConverter.ConvertValue(values[i].Value)
		if err != nil {
			return fmt.Errorf("parameter %d: %w", i+1, err)
		}
		values[i].Value = v
	}
	_, err := p.ExecContext(always, values)
	return s.note("publish", err)
}

// typed is a prepared statement with the types of its parameters.
type typed struct {
	prepared
	types []int64
}

// othersKept is how many statements of others stay prepared.
const othersKept = 64

func (s *session) prepareOther(text string) (prepared, error) {
	if len(s.others) >= othersKept {
		for old, p := range s.others {
			if err := p.Close(); err != nil {
				return nil, s.note("publish", err)
			}
			delete(s.others, old)
		}
	}
	p, err := s.prepare("publish", text)
	if err != nil {
		return nil, err
	}
	t := &typed{prepared: p}
	err = s.query(sqlParameterTypes, func(row []driver.Value) error {
		t.types = append(t.types, integer(row[0]))
		return nil
	}, text)
	if err != nil {
		return nil, err
	}
	if s.others == nil {
		s.others = map[string]prepared{}
	}
	s.others[text] = t
	return t, nil
}

// close closes the connection, which undoes a transaction that is open.
func (s *session) close() error {
	err := s.conn.Close()
	if s.broken {
		return nil // it says what is known
	}
	return err
}
