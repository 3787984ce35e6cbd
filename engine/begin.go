package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// now is the store's clock, as last heard of.
func (e *Engine) now() store.Instant {
	return store.At(e.clock.Now()) + store.Instant(e.ahead.Load())
}

func (e *Engine) heard(now store.Instant) {
	e.ahead.Store(int64(now - store.At(e.clock.Now())))
}

// Next blocks until a message of the topic is held by this worker and is to
// be run, or ctx ends. The caller must Begin and End it.
func (e *Engine) Next(ctx context.Context, topic string) (*store.Message, error) {
	it, err := e.queues.next(ctx, topic)
	if err != nil {
		return nil, err
	}
	return it.m, nil
}

// Begin opens the unit of work of a message that Next gave. The handler's
// context is derived from the returned one: it ends when the lease is lost.
// step.ErrNotMine: nothing is to be run, and nothing to be ended. An error that is
// a *step.PermanentError comes with a unit that is to be ended with it.
func (e *Engine) Begin(ctx context.Context, m *store.Message) (context.Context, *step.Unit, error) {
	u := &step.Unit{Message: m, Now: e.now()}
	if e.cfg.Keyed != nil || m.Key != "" {
		call := e.flights.begin()
		mine, err := e.admit(ctx, u)
		if !mine {
			e.queues.done(m)
		}
		call.land()
		if !mine {
			return ctx, nil, step.ErrNotMine
		}
		if err != nil {
			return ctx, u, err
		}
	}
	u.Stage = func(ctx context.Context, chunk int, sends []step.Send) error { return e.stage(ctx, u, chunk, sends) }
	ctx, cancel := context.WithCancel(step.WithUnit(ctx, u))
	if !e.queues.guard(m, cancel) {
		cancel() // the lease was lost meanwhile
		return ctx, nil, step.ErrNotMine
	}
	if db, ok := e.store.(store.SQL); ok {
		u.BeginTx = func(asked context.Context) (*sql.Tx, error) { return e.beginTx(ctx, asked, db, u) }
	}
	return ctx, u, nil
}

// beginTx begins the transaction of a step. It lives as long as the unit: the
// context of the handler that asks for it may end before the step's commit.
func (e *Engine) beginTx(unit, asked context.Context, db store.SQL, u *step.Unit) (*sql.Tx, error) {
	ctx, cancel := context.WithCancel(unit)
	stop := context.AfterFunc(asked, cancel)
	tx, err := db.DB().BeginTx(ctx, nil)
	if !stop() && err == nil { // asked ended, and took tx along
		err = asked.Err()
	}
	switch {
	case err == nil:
		u.Tx = tx
		return tx, nil
	case asked.Err() == nil: // it is the store's error, and no attempt
		err = fmt.Errorf("%w: %w", step.ErrInterrupted, err)
	}
	return nil, fmt.Errorf("begin the step's transaction: %w", err)
}

// admit gets a message its exclusive key, and its saga's state.
func (e *Engine) admit(ctx context.Context, u *step.Unit) (mine bool, err error) {
	k := step.Keying{Key: u.Message.Key, Saga: u.Message.Saga}
	if e.cfg.Keyed != nil {
		found, err := e.cfg.Keyed(u.Message)
		if err != nil {
			return true, err
		}
		if found.Key != "" {
			k = found
		}
	}
	if k.Key == "" {
		return true, nil
	}
	out := &step.Outcome{Verb: step.Admit, Message: u.Message, Key: k.Key, Saga: k.Saga, Starts: k.Starts}
	if k.Saga != "" && u.Message.Run != 0 && u.Message.RunID != k.Key {
		out.Verb = step.Readdress
	}
	a := e.commits.one(context.WithoutCancel(ctx), out)
	switch {
	case a.err != nil:
		return false, a.err
	case a.verdict.Code == step.Invalid:
		return true, &step.PermanentError{Err: a.verdict.Err}
	case a.verdict.Code != step.Applied || out.Verb == step.Readdress:
		return false, nil
	}
	u.Message, u.Run = a.verdict.Message, a.verdict.Run
	return true, nil
}

// stage puts a chunk of a large fork aside and notes it in the unit's message,
// also when it can't be told whether the store has it.
func (e *Engine) stage(ctx context.Context, u *step.Unit, chunk int, sends []step.Send) error {
	noted := *u.Message
	noted.Staged = max(noted.Staged, chunk+1)
	u.Message = &noted
	out := &step.Outcome{Verb: step.Stage, Message: u.Message, Chunk: chunk, Sends: sends}
	commit := e.Commit
	if u.Tx != nil { // which has the writer: what is staged goes with it
		commit = func(ctx context.Context, out *step.Outcome) (step.Verdict, error) { return e.stageTx(ctx, u.Tx, out) }
	}
	v, err := commit(ctx, out)
	switch {
	case err != nil:
		return fmt.Errorf("stage a fork: %w", err)
	case v.Code != step.Applied:
		return fmt.Errorf("stage a fork: %w", store.ErrLeaseLost)
	}
	u.Message = v.Message
	return nil
}

// stageTx is stage inside the step's own transaction.
func (e *Engine) stageTx(ctx context.Context, tx *sql.Tx, out *step.Outcome) (step.Verdict, error) {
	if err := e.cfg.Limits.Check(out); err != nil {
		return step.Verdict{}, err
	}
	f := e.fold([]*step.Outcome{out}, e.envTx(tx))
	if err := e.store.(store.SQL).CommitTx(ctx, tx, f.keys, f.decide); err != nil {
		return step.Verdict{}, err
	}
	return f.res.Verdicts[0], nil
}

// storePause is for how many tries in a row [health.pause] waits before a
// message is given back since the store failed its handler.
const storePause = 3

// End commits the outcome of a unit: with err nil its decisions take effect;
// a *step.RetryError makes the message due again, step.ErrInterrupted gives it
// back, any other error makes it a dead letter. End returns once the outcome is stored. Its error is never the
// handler's: store.ErrLeaseLost, when the worker was closed and another one
// has the message; store.ErrClosed or the like when the outcome could not be
// stored, and the message will be run again.
func (e *Engine) End(ctx context.Context, u *step.Unit, err error) error {
	defer e.flights.begin().land()
	return e.leave(u, e.end(ctx, u, err))
}

// leave takes a message whose outcome is stored, or can't be, out of memory.
func (e *Engine) leave(u *step.Unit, err error) error {
	if errors.Is(err, store.ErrCorrupt) {
		e.log.Error("millrace: an outcome meets a damaged row; its message is left alone until the process ends",
			"message", u.Message.ID, "task", u.Message.Task, "run", u.Message.RunID, "error", err)
		e.queues.park(u.Message) // running it again would not help
		return err
	}
	e.queues.done(u.Message)
	return err
}

func (e *Engine) end(ctx context.Context, u *step.Unit, err error) error {
	ctx = context.WithoutCancel(ctx)
	out := e.outcome(u, err)
	if u.Tx != nil {
		if err == nil {
			return e.endTx(ctx, u, out)
		}
		_ = u.Tx.Rollback() // its end is the handler's error, not this one
	}
	if errors.Is(err, step.ErrInterrupted) && outage(err) {
		e.health.pause(ctx, storePause) // else it would be run again at once, and again
	}
	a := e.commits.one(ctx, out)
	if a.err == nil && a.verdict.Code == step.Invalid {
		out = e.outcome(u, &step.PermanentError{Err: a.verdict.Err})
		a = e.commits.one(ctx, out)
	}
	return e.told(u, a)
}

func (e *Engine) told(u *step.Unit, a answer) error {
	switch {
	case a.err != nil:
		return a.err
	case a.verdict.Code == step.LeaseLost:
		return fmt.Errorf("message %s of run %s: %w", u.Message.ID, u.Message.RunID, store.ErrLeaseLost)
	case a.verdict.Code == step.Invalid:
		return fmt.Errorf("message %s of run %s: %w", u.Message.ID, u.Message.RunID, a.verdict.Err)
	case a.verdict.Code == step.Duplicate:
		e.log.Info("millrace: outcome discarded, since another one is stored", "message", u.Message.ID, "task", u.Message.Task, "run", u.Message.RunID)
	}
	return nil
}

// outcome turns how a handler ended into what is to be stored. Decisions over
// a limit are the handler's fault, and permanent.
func (e *Engine) outcome(u *step.Unit, err error) *step.Outcome {
	if err == nil {
		out := &step.Outcome{Verb: step.Done, Message: u.Message, Decisions: u.Decisions}
		if err = e.cfg.Limits.Check(out); err == nil {
			return out
		}
		if u.Tx != nil {
			_ = u.Tx.Rollback()
			u.Tx = nil
		}
	}
	if errors.Is(err, step.ErrInterrupted) {
		return &step.Outcome{Verb: step.Yield, Message: u.Message}
	}
	if r := (*step.RetryError)(nil); errors.As(err, &r) {
		return &step.Outcome{Verb: step.Retry, Message: u.Message, Delay: r.After, Failure: step.FailureOf(r.Err)}
	}
	return &step.Outcome{Verb: step.Reject, Message: u.Message, Failure: step.FailureOf(err)}
}

// endTx makes the step's commit part of the handler's own transaction. When
// that fails, the message is given back: either both happened or neither.
func (e *Engine) endTx(ctx context.Context, u *step.Unit, out *step.Outcome) error {
	verdict, err := e.applyTx(ctx, u.Tx, out)
	switch {
	case err == nil && verdict.Code == step.Applied:
		return nil
	case err != nil:
		e.log.Warn("millrace: a step's own transaction failed; it will run again", "message", u.Message.ID, "task", u.Message.Task, "error", err)
		out = e.outcome(u, txFailure(u, err))
	case verdict.Code == step.Invalid:
		out = e.outcome(u, &step.PermanentError{Err: verdict.Err})
	default:
		return e.told(u, answer{verdict: verdict})
	}
	return e.told(u, e.commits.one(ctx, out))
}

// txFailure says what becomes of a message whose handler succeeded and whose
// transaction did not. If the store was out of reach, that is no attempt. Else
// it was the handler's doing: it violated a constraint that is checked at the
// end, or ended the transaction itself.
func txFailure(u *step.Unit, err error) error {
	if outage(err) {
		return fmt.Errorf("%w: %w", step.ErrInterrupted, err)
	}
	delay, again := step.DefaultPolicy.Next(u.Message.Attempt+1, 0, 0)
	if !again {
		return &step.PermanentError{Err: err}
	}
	return &step.RetryError{After: delay, Err: err}
}

// applyTx commits tx with an outcome in it, or rolls it back.
func (e *Engine) applyTx(ctx context.Context, tx *sql.Tx, out *step.Outcome) (step.Verdict, error) {
	defer e.flights.begin().land()
	f := e.fold([]*step.Outcome{out}, e.envTx(tx))
	err := e.store.(store.SQL).CommitTx(ctx, tx, f.keys, f.decide)
	if err != nil || f.res.Verdicts[0].Code != step.Applied {
		_ = tx.Rollback() // its end is err, or the verdict
		if err != nil {
			return step.Verdict{}, err
		}
		return f.res.Verdicts[0], nil
	}
	if err := tx.Commit(); err != nil {
		e.lost.raise()
		return step.Verdict{}, err
	}
	e.deliver(f.res)
	return f.res.Verdicts[0], nil
}

// TakenTopic is the topic of the messages that a consumer took in from a broker.
func TakenTopic(consumer string) string { return store.Internal + "taken:" + consumer }

// Take makes a message from outside the store's own, held by this worker, and
// hands it to Begin: from then on the store answers for it. With a relay, its
// topic becomes TakenTopic. step.ErrNotMine when the id was taken in before.
func (e *Engine) Take(ctx context.Context, consumer, id string, send step.Send) (*store.Message, error) {
	if e.cfg.Relay != nil { // else another process's relay might give it to the broker again
		send.Topic = TakenTopic(consumer)
	}
	out := &step.Outcome{
		Verb: step.Insert, Sends: []step.Send{send},
		Source: &step.Source{Consumer: consumer, ID: id, Held: true},
	}
	defer e.flights.begin().land()
	v, err := e.Commit(ctx, out)
	switch {
	case err != nil:
		return nil, fmt.Errorf("take in message %s: %w", id, err)
	case v.Code != step.LeaseLost && v.Message == nil:
		return nil, step.ErrNotMine
	case v.Code == step.LeaseLost, !e.queues.adopt(v.Message):
		return nil, fmt.Errorf("take in message %s: %w", id, store.ErrLeaseLost)
	}
	return v.Message, nil
}

// GiveBack frees a message that Next gave and that was not begun.
func (e *Engine) GiveBack(ctx context.Context, m *store.Message) {
	e.commits.one(context.WithoutCancel(ctx), &step.Outcome{Verb: step.Yield, Message: m})
	e.queues.done(m)
}

// CommitTx is [Engine.Commit] inside the caller's own transaction: it takes
// effect when and if the caller commits tx. It fails on a store without SQL.
func (e *Engine) CommitTx(ctx context.Context, tx *sql.Tx, out *step.Outcome) (step.Verdict, error) {
	db, ok := e.store.(store.SQL)
	if !ok {
		return step.Verdict{}, errors.New("the store has no SQL: nothing can be part of a transaction of yours")
	}
	if err := e.cfg.Limits.Check(out); err != nil {
		return step.Verdict{}, err
	}
	if out.Source != nil && out.Source.Retention == 0 {
		out.Source.Retention = e.cfg.InboxRetention
	}
	env := e.envTx(tx)
	env.Worker, env.Room = 0, nil // whether tx commits is not known here: nothing is born held,
	if env.Broker != nil {
		env.Broker.Room, env.Broker.Others = nil, 0 // or published
	}
	f := e.fold([]*step.Outcome{out}, env)
	if err := db.CommitTx(ctx, tx, f.keys, f.decide); err != nil {
		return step.Verdict{}, fmt.Errorf("commit in a transaction: %w", err)
	}
	e.Nudge()
	return f.res.Verdicts[0], nil
}
