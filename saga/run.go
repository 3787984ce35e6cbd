package saga

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

var (
	// ErrConflict says that the id is taken by a run with another task or
	// another input.
	ErrConflict = errors.New("the id is taken by a run with another task or input")
	// ErrFailed says that a run has failed.
	ErrFailed = errors.New("run failed")
	// ErrCancelled says that a run was cancelled.
	ErrCancelled = errors.New("run was cancelled")
	// ErrNotFound says that there is no such run.
	ErrNotFound = store.ErrNotFound
)

// EndError says that a run ended without a result. It is [ErrFailed] or
// [ErrCancelled], by its Status.
type EndError struct {
	Run    string // id
	Status store.Status
	Reason string
}

func (e *EndError) Error() string {
	return fmt.Sprintf("run %s: %v: %s", e.Run, e.Unwrap(), e.Reason)
}

// Unwrap returns ErrFailed or ErrCancelled.
func (e *EndError) Unwrap() error {
	if e.Status == store.Cancelled {
		return ErrCancelled
	}
	return ErrFailed
}

// Run is a handle to a run. It is a value, and safe for concurrent use.
type Run struct {
	ID string
	// Started says that this call started the run; otherwise it had been
	// started before.
	Started bool

	host Host
	key  int64
}

// StartOption sets how a run is started.
type StartOption func(*step.Start)

// ID gives the run its id: starting twice with one id is one run. Default: an
// id is made.
func ID(id string) StartOption { return func(s *step.Start) { s.RunID = id } }

// OnDead says what a dead letter does to the run. Default: LeaveOpen.
func OnDead(d step.OnDead) StartOption { return func(s *step.Start) { s.OnDead = d } }

// StartAt makes the first step due at t.
func StartAt(t time.Time) StartOption { return func(s *step.Start) { s.At = store.At(t) } }

// Meta adds metadata to the first message.
func Meta(key, value string) StartOption {
	return func(s *step.Start) {
		if s.Meta == nil {
			s.Meta = map[string]string{}
		}
		s.Meta[key] = value
	}
}

// Nonce makes calls of Start with the same nonce count as one call that was
// repeated: each of them is told that it started the run. Default: each call
// has its own, and repeats by itself while ctx lasts.
func Nonce(nonce string) StartOption { return func(s *step.Start) { s.Nonce = nonce } }

// Start starts a run with the task as its first step. It returns once the run
// is durable, also when it was started before ([Run].Started says which).
// While the store is out of reach it tries again until ctx ends; whether the
// run was started is then unknown, and calling again with the same id settles
// it. Errors: [ErrConflict]; step.ErrTooLarge and step.ErrBadName, with
// nothing written.
func Start[T any](ctx context.Context, h Host, t Task[T], v T, opts ...StartOption) (Run, error) {
	out, err := starting(h, t, v, opts)
	if err != nil {
		return Run{}, err
	}
	verdict, err := h.Commit(ctx, out)
	return started(h, out.Start, verdict, err)
}

// StartTx starts a run inside the caller's own transaction on the store's
// database: it exists when and if tx is committed. The store must have SQL.
func StartTx[T any](ctx context.Context, h Host, tx *sql.Tx, t Task[T], v T, opts ...StartOption) (Run, error) {
	out, err := starting(h, t, v, opts)
	if err != nil {
		return Run{}, err
	}
	verdict, err := h.CommitTx(ctx, tx, out)
	return started(h, out.Start, verdict, err)
}

func starting[T any](h Host, t Task[T], v T, opts []StartOption) (*step.Outcome, error) {
	data, err := h.Codec().Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("start %s: encode the input: %w", t.name, err)
	}
	now := store.At(time.Now())
	s := &step.Start{Task: t.name, Input: data}
	for _, o := range opts {
		o(s)
	}
	if s.Nonce == "" {
		s.Nonce = step.NewID(now)
	}
	if s.RunID == "" {
		s.RunID = step.NewID(now)
	}
	return &step.Outcome{Verb: step.Begin, Start: s}, nil
}

func started(h Host, s *step.Start, v step.Verdict, err error) (Run, error) {
	switch {
	case err != nil:
		return Run{}, fmt.Errorf("start %s as run %s: %w", s.Task, s.RunID, err)
	case v.Code == step.Conflict:
		return Run{}, fmt.Errorf("start %s as run %s: %w", s.Task, s.RunID, ErrConflict)
	case v.Err != nil:
		return Run{}, fmt.Errorf("start %s as run %s: %w", s.Task, s.RunID, v.Err)
	}
	return Run{ID: s.RunID, Started: v.Code == step.Applied, host: h, key: v.Run.Key}, nil
}

// Find returns a handle to a run that exists. ErrNotFound when there is none.
func Find(ctx context.Context, h Host, id string) (Run, error) {
	r, err := find(ctx, h, store.RunQuery{ID: id})
	if err != nil {
		return Run{}, fmt.Errorf("run %s: %w", id, err)
	}
	return Run{ID: id, host: h, key: r.Key}, nil
}

func find(ctx context.Context, h Host, q store.RunQuery) (*store.Run, error) {
	found, err := h.Find(ctx, store.Query{Runs: &q, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(found.Runs) == 0 {
		return nil, ErrNotFound
	}
	return found.Runs[0], nil
}

// Status returns the run as it stands.
func (r Run) Status(ctx context.Context) (*store.Run, error) {
	run, err := find(ctx, r.host, store.RunQuery{ID: r.ID})
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", r.ID, err)
	}
	return run, nil
}

// Result blocks until the run has ended, and decodes its result into the
// pointer, which may be nil. It does not poll when the run ends in this
// process. Errors: [ErrFailed] and [ErrCancelled] with the reason; ctx's.
func (r Run) Result(ctx context.Context, into any) error {
	run, err := r.host.Ended(ctx, r.key)
	switch {
	case err != nil:
		return fmt.Errorf("run %s: %w", r.ID, err)
	case run.Status == store.Failed, run.Status == store.Cancelled:
		return &EndError{Run: r.ID, Status: run.Status, Reason: run.Error}
	case into == nil || len(run.Result) == 0:
		return nil
	}
	if err := r.host.Codec().Unmarshal(run.Result, into); err != nil {
		return fmt.Errorf("run %s: decode the result: %w", r.ID, err)
	}
	return nil
}

// Cancel ends the run: what was not begun is dropped, its undos run, and then
// it is cancelled. A run that has ended, or is failing, stays as it is.
func (r Run) Cancel(ctx context.Context, reason string) error {
	return r.abort(ctx, reason, true)
}

// Fail is [Run.Cancel] with the end failed.
func (r Run) Fail(ctx context.Context, reason string) error {
	return r.abort(ctx, reason, false)
}

func (r Run) abort(ctx context.Context, reason string, cancel bool) error {
	v, err := r.host.Commit(ctx, &step.Outcome{
		Verb: step.Abort, Abort: &step.AbortOp{RunID: r.ID, Reason: reason, Cancel: cancel},
	})
	if err == nil && v.Code == step.Missing {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("end run %s: %w", r.ID, err)
	}
	return nil
}

// Enqueue sends jobs: messages outside any run. All of them are stored, or
// none. id, if not empty, names this insertion: the same id again, within the
// host's retention, stores nothing.
func Enqueue[T any](ctx context.Context, h Host, id string, t Task[T], vs ...T) error {
	out, err := enqueueing(h, id, t, vs)
	if err == nil {
		_, err = h.Commit(ctx, out)
	}
	if err != nil {
		return fmt.Errorf("enqueue %s: %w", t.name, err)
	}
	return nil
}

// EnqueueTx is [Enqueue] inside the caller's own transaction.
func EnqueueTx[T any](ctx context.Context, h Host, tx *sql.Tx, id string, t Task[T], vs ...T) error {
	out, err := enqueueing(h, id, t, vs)
	if err == nil {
		_, err = h.CommitTx(ctx, tx, out)
	}
	if err != nil {
		return fmt.Errorf("enqueue %s: %w", t.name, err)
	}
	return nil
}

func enqueueing[T any](h Host, id string, t Task[T], vs []T) (*step.Outcome, error) {
	src := &step.Source{Consumer: "~jobs", ID: id}
	if id == "" {
		src.ID, src.Retention = step.NewID(store.At(time.Now())), time.Hour
	}
	out := &step.Outcome{Verb: step.Insert, Source: src, Sends: make([]step.Send, len(vs))}
	for i, v := range vs {
		data, err := h.Codec().Marshal(v)
		if err != nil {
			return nil, err
		}
		out.Sends[i] = step.Send{Task: t.name, Payload: data}
	}
	return out, nil
}
