package step

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/millrace-go/millrace/store"
)

// Unit is the unit of work of one execution of a handler: the message that
// its worker holds, and what the handler has decided so far. It belongs to
// the goroutine of the handler.
type Unit struct {
	Message   *store.Message
	Run       *store.Run    // of a stateful saga: the instance, as admitted
	Now       store.Instant // the store's clock, when the handler was entered
	Decisions []Decision
	Tx        *sql.Tx // begun by BeginTx; the step's commit is part of it

	// BeginTx begins the transaction of the store that the step's commit will
	// be part of. Nil where the store has no SQL.
	BeginTx func(context.Context) (*sql.Tx, error)

	// Stage puts a chunk of a large fork aside.
	Stage func(ctx context.Context, chunk int, sends []Send) error
}

// Decide adds what is to happen next.
func (u *Unit) Decide(ds ...Decision) { u.Decisions = append(u.Decisions, ds...) }

type unitKey struct{}

// WithUnit returns a context that carries u to the handler.
func WithUnit(ctx context.Context, u *Unit) context.Context {
	return context.WithValue(ctx, unitKey{}, u)
}

// UnitFrom returns the unit of work that ctx carries, or nil.
func UnitFrom(ctx context.Context) *Unit {
	u, _ := ctx.Value(unitKey{}).(*Unit)
	return u
}

// Keying is what a message must have before its handler is entered.
type Keying struct {
	Saga   string // name of the stateful saga; "" for a mere exclusive key
	Key    string // the exclusive key; "": none
	Starts bool   // the message may create the saga's instance
}

// ErrNotMine says that a message is not to be run here: another outcome of it
// is stored, or another worker holds it, or it waits for its exclusive key.
// The store answers for it; its delivery is to be acknowledged.
var ErrNotMine = errors.New("message is not to be run here")

// ErrInterrupted says that a handler was cut short by its own process: that
// is no attempt, and the message is run again.
var ErrInterrupted = errors.New("interrupted by the end of the process")

// PermanentError is a failure that no further attempt will mend.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string { return e.Err.Error() }
func (e *PermanentError) Unwrap() error { return e.Err }

// RetryError asks for another attempt after a delay, as set by the handler or
// by a policy.
type RetryError struct {
	After time.Duration
	Err   error
}

func (e *RetryError) Error() string { return e.Err.Error() }
func (e *RetryError) Unwrap() error { return e.Err }

// PanicError is a handler's panic.
type PanicError struct {
	Value any
	Stack string
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// ErrUnknownTask says that no handler is bound to the message's task.
var ErrUnknownTask = errors.New("no handler for this task")

// AwayError is the failure of a step on another store.
type AwayError struct{ Failure Failure }

func (e *AwayError) Error() string { return e.Failure.Text }

// FailureOf describes err for the attempts of a message.
func FailureOf(err error) *Failure {
	f := &Failure{Text: err.Error()}
	if a := (*AwayError)(nil); errors.As(err, &a) {
		f.Stack = a.Failure.Stack
	}
	if p := (*PanicError)(nil); errors.As(err, &p) {
		f.Stack = p.Stack
	}
	return f
}
