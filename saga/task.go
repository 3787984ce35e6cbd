package saga

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/millrace-go/millrace/correlation"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Task is the address "service/task" of a handler that takes a T. It can be
// named before a handler is bound to it, and in services that have none.
type Task[T any] struct{ name string }

// NewTask names a task. A name that is not of the form service/task is
// reported when it is used.
func NewTask[T any](name string) Task[T] { return Task[T]{name} }

// Name returns "service/task".
func (t Task[T]) Name() string { return t.name }

// Handler does one piece of work and says what is to happen next. An error
// makes the message due again by the task's policy, unless it is [Permanent].
// A message may be run more than once, if the process dies in between; its
// step takes effect once.
type Handler[T any] func(ctx context.Context, v T) (Step, error)

// Option sets how a task is run.
type Option func(*Binding)

// WithPolicy sets when a failed message is tried again. Default:
// step.DefaultPolicy.
func WithPolicy(p step.Policy) Option { return func(b *Binding) { b.Policy = p } }

// WithTimeout ends the handler's context after d. Default: the host's.
func WithTimeout(d time.Duration) Option { return func(b *Binding) { b.Timeout = d } }

// Handle binds a handler to a task. It must be called before the host runs;
// that a task is bound twice is reported then.
func Handle[T any](h Host, t Task[T], fn Handler[T], opts ...Option) {
	b := Binding{Run: func(ctx context.Context, u *step.Unit) error {
		v, err := decode[T](h, u.Message)
		if err != nil {
			return err
		}
		s, err := fn(ctx, v)
		return conclude(ctx, h, u, s, err)
	}}
	bind(h, t.name, b, opts)
}

// HandleTx binds a handler whose own writes to the database are part of its
// step's commit: both happen or neither. It needs a store with SQL, on the
// database that the writes are for. The transaction is the framework's to
// commit. On SQLite it has the database's only writer from the handler's
// first to its last line: keep it short, start nothing else in it, and bound
// it by [WithTimeout] (default 10 s).
func HandleTx[T any](h Host, t Task[T], fn func(ctx context.Context, tx *sql.Tx, v T) (Step, error), opts ...Option) {
	b := Binding{NeedTx: true, Timeout: 10 * time.Second, Run: func(ctx context.Context, u *step.Unit) error {
		v, err := decode[T](h, u.Message)
		if err != nil {
			return err
		}
		tx, err := u.BeginTx(ctx)
		if err != nil {
			return err
		}
		s, err := fn(ctx, tx, v)
		return conclude(ctx, h, u, s, err)
	}}
	bind(h, t.name, b, opts)
}

// Stateful names a stateful saga: instances that are found by a value of
// their messages, each with a state of type S, whose handlers run one at a
// time.
type Stateful[S any] struct{ name string }

// NewStateful names a stateful saga, in the form "service/saga".
func NewStateful[S any](name string) Stateful[S] { return Stateful[S]{name} }

// Starts lets a task's messages create the instance that they are for.
// Messages for an instance that does not exist wait, visibly, until it does.
func Starts() Option {
	return func(b *Binding) {
		inner := b.Keying
		b.Keying = func(m *store.Message) (step.Keying, error) {
			if inner == nil {
				return step.Keying{}, errors.New("saga.Starts is for saga.HandleState only")
			}
			k, err := inner(m)
			k.Starts = true
			return k, err
		}
	}
}

// HandleState binds a task to a stateful saga. of gives the value by which a
// message finds its instance. The handler gets the instance's state, zero at
// first, and may change it; the change is part of its step. Finish ends the
// instance.
func HandleState[S, T any](h Host, s Stateful[S], t Task[T], of func(T) string, fn func(ctx context.Context, state *S, v T) (Step, error), opts ...Option) {
	b := Binding{
		Keying: func(m *store.Message) (step.Keying, error) {
			v, err := decode[T](h, m)
			if err != nil {
				return step.Keying{}, err
			}
			key, err := correlation.Key(s.name, of(v))
			if err != nil {
				return step.Keying{}, &step.PermanentError{Err: err}
			}
			return step.Keying{Saga: s.name, Key: key}, nil
		},
		Run: func(ctx context.Context, u *step.Unit) error {
			v, err := decode[T](h, u.Message)
			if err != nil {
				return err
			}
			state := new(S)
			if u.Run != nil && u.Run.Revision > 0 {
				if err := h.Codec().Unmarshal(u.Run.State, state); err != nil {
					return &step.PermanentError{Err: fmt.Errorf("decode the state of %s: %w", u.Run.ID, err)}
				}
			}
			next, err := fn(ctx, state, v)
			return conclude(ctx, h, u, Do(next, setState{state}), err)
		},
	}
	bind(h, t.name, b, opts)
}

func bind(h Host, task string, b Binding, opts []Option) {
	for _, o := range opts {
		o(&b)
	}
	h.Bind(task, b)
}

// decode reads a payload. What does not decode never will: it is permanent.
func decode[T any](h Host, m *store.Message) (v T, err error) {
	if j, ok := any(&v).(joinedReader); ok {
		err = j.read(h, m)
	} else {
		err = h.Codec().Unmarshal(m.Payload, &v)
	}
	if err != nil {
		err = &step.PermanentError{Err: fmt.Errorf("decode the payload of %s: %w", m.Task, err)}
	}
	return v, err
}

// conclude puts what a handler returned into its unit of work.
func conclude(ctx context.Context, h Host, u *step.Unit, s Step, err error) error {
	if err != nil {
		return err
	}
	if s == nil {
		return nil
	}
	b := &build{ctx: ctx, codec: h.Codec(), unit: u}
	if err := s.decide(b); err != nil {
		return err
	}
	u.Decide(b.decisions...)
	return nil
}

// MessageID returns the id of the message that ctx's handler runs for. It is
// the same in each attempt: an idempotency key for effects outside.
func MessageID(ctx context.Context) string {
	if u := step.UnitFrom(ctx); u != nil {
		return u.Message.ID
	}
	return ""
}

// RunID returns the id of the run that ctx's handler runs for; empty for a
// job outside any run.
func RunID(ctx context.Context) string {
	if u := step.UnitFrom(ctx); u != nil {
		return u.Message.RunID
	}
	return ""
}

// Attempt returns the number of the attempt that ctx's handler is, from 1.
func Attempt(ctx context.Context) int {
	if u := step.UnitFrom(ctx); u != nil {
		return u.Message.Attempt + 1
	}
	return 0
}

// Permanent says that no further attempt will mend err: the message is a dead
// letter at once.
func Permanent(err error) error { return &step.PermanentError{Err: err} }

// RetryAfter asks for the next attempt after d, whatever the task's policy
// says, also of the number of attempts.
func RetryAfter(d time.Duration, err error) error { return &step.RetryError{After: d, Err: err} }
