package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/lib/pq"

	"github.com/millrace-go/millrace/store"
)

// explain names the operation that failed, and gives what the server said the
// meaning that callers decide by.
func explain(op string, err error) error {
	if err == nil {
		return nil
	}
	if meaning := meaningOf(err); meaning != nil && !errors.Is(err, meaning) {
		return fmt.Errorf("postgres: %s: %w: %w", op, meaning, err)
	}
	return fmt.Errorf("postgres: %s: %w", op, err)
}

// meaningOf returns the sentinel for what went wrong, nil if there is none.
func meaningOf(err error) error {
	var e *pq.Error
	if errors.As(err, &e) {
		return meaningOfCode(string(e.Code))
	}
	if cut(err) {
		return store.ErrUnavailable
	}
	return nil
}

// meaningOfCode goes by the codes of appendix A of PostgreSQL's manual.
func meaningOfCode(code string) error {
	switch code {
	case "42P01", "42883", "3F000", "42703": // no such table, function, schema, column
		return store.ErrSchema
	case "40001", "40P01", codeChanged: // time and again
		return store.ErrUnavailable
	case "57014", "55P03", "25P03", "25P02": // a timeout's doing
		return store.ErrUnavailable
	case "25006", "0A000": // a server that only reads, or one in between that can't do it
		return store.ErrUnavailable
	case "XX001", "XX002":
		return store.ErrCorrupt
	}
	switch code[:2] {
	case "08", "53", "57", "58": // connection, resources, operator, system
		return store.ErrUnavailable
	}
	return nil
}

// cut reports whether err says that the connection is broken, or can't be made.
func cut(err error) bool {
	var n net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.As(err, &n) && !errors.Is(err, context.DeadlineExceeded)
}

// ended reports whether err says that the connection is broken, as one is that
// had been idle while the server was restarted.
func ended(err error) bool { return cut(err) && !errors.Is(err, os.ErrDeadlineExceeded) }

// codeChanged is raised by millrace_write.
const codeChanged = "MR001"

// conflict says why a commit is to be decided anew.
type conflict uint8

const (
	none     conflict = iota
	collided          // with a row that was made meanwhile
	stale             // with a change made meanwhile, or another's locks
)

// conflictOf tells whether err says that others were at the same rows.
func conflictOf(err error) conflict {
	var e *pq.Error
	if !errors.As(err, &e) {
		return none
	}
	switch e.Code {
	case "23505":
		return collided
	case "40001", "40P01", codeChanged:
		return stale
	}
	return none
}
