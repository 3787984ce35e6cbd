package middleware_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/middleware"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// forbidden is a handler that must not be entered.
func forbidden(*message.Message) ([]*message.Message, error) { panic("the handler was entered") }

func TestHeldMessageIsBegunAndEnded(t *testing.T) {
	e := &fakeEngine{}
	msg := heldMessage(t)
	out, err := middleware.Idempotency(e)(func(msg *message.Message) ([]*message.Message, error) {
		require.Same(t, e.unit, step.UnitFrom(msg.Context()))
		require.False(t, e.ended)
		e.unit.Decide(step.Emit{Event: "paid"})
		return nil, nil
	})(msg)
	require.NoError(t, err)
	require.Empty(t, out)
	require.True(t, e.ended)
	require.NoError(t, e.outcome)
	require.Nil(t, e.taken, "it is in the store already")
	require.Equal(t, []step.Decision{step.Emit{Event: "paid"}}, e.unit.Decisions)
}

// L4: a message from outside is taken in first, under its own id.
func TestForeignMessageIsTakenIn(t *testing.T) {
	e := &fakeEngine{}
	_, err := middleware.Idempotency(e)(fails(nil))(message.NewMessage("theirs", []byte("p")))
	require.NoError(t, err)
	require.Equal(t, "theirs", e.id)
	require.Equal(t, "p", string(e.taken.Payload))
	require.Equal(t, "ours", e.begun.ID)
	require.True(t, e.ended)
}

// M3: what was taken in before, or is somebody else's, is acknowledged and not
// run.
func TestNotMineIsAcknowledged(t *testing.T) {
	for name, e := range map[string]*fakeEngine{
		"taken in before": {takeErr: fmt.Errorf("take: %w", step.ErrNotMine)},
		"not admitted":    {refuse: true, beginErr: step.ErrNotMine},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := middleware.Idempotency(e)(forbidden)(message.NewMessage("theirs", nil))
			require.NoError(t, err)
			require.Empty(t, out)
			require.False(t, e.ended)
		})
	}
}

// R5: what could not be taken in, or stored, is refused: the broker will bring
// it again.
func TestStoreErrorsAreReturned(t *testing.T) {
	for name, e := range map[string]*fakeEngine{
		"take":  {takeErr: store.ErrClosed},
		"begin": {refuse: true, beginErr: store.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := middleware.Idempotency(e)(forbidden)(message.NewMessage("theirs", nil))
			require.ErrorIs(t, err, store.ErrClosed)
		})
	}
	e := &fakeEngine{endErr: store.ErrLeaseLost}
	out, err := middleware.Idempotency(e)(fails(nil))(heldMessage(t))
	require.ErrorIs(t, err, store.ErrLeaseLost)
	require.Empty(t, out, "not even then")
}

// An error of Begin that comes with a unit is the message's outcome.
func TestBeginDecides(t *testing.T) {
	refused := &step.PermanentError{Err: errHandler}
	e := &fakeEngine{beginErr: refused}
	_, err := middleware.Idempotency(e)(forbidden)(heldMessage(t))
	require.NoError(t, err)
	require.Equal(t, error(refused), e.outcome)
}

// R1: the handler's error decides the outcome, and is none of the Router's.
func TestErrorsDecide(t *testing.T) {
	retry := &step.RetryError{After: 5, Err: errHandler}
	permanent := &step.PermanentError{Err: errHandler}
	for _, decided := range []error{retry, permanent} {
		e := &fakeEngine{}
		out, err := middleware.Idempotency(e)(fails(decided))(heldMessage(t))
		require.NoError(t, err)
		require.Empty(t, out)
		require.Equal(t, decided, e.outcome)
		require.Empty(t, e.unit.Decisions, "a failed handler publishes nothing")
	}
	e := &fakeEngine{}
	_, err := middleware.Idempotency(e)(fails(errHandler))(heldMessage(t))
	require.NoError(t, err)
	var again *step.RetryError
	require.ErrorAs(t, e.outcome, &again, "without Retry and Poison it is tried again")
	require.Positive(t, again.After)
}

// A handler that the engine has cut short has made no attempt, whatever it
// returns; if it succeeded all the same, that counts.
func TestInterrupted(t *testing.T) {
	for _, c := range []struct{ err, outcome error }{
		{errHandler, step.ErrInterrupted},
		{&step.PermanentError{Err: errHandler}, step.ErrInterrupted},
		{nil, nil},
	} {
		e := &fakeEngine{}
		_, err := middleware.Idempotency(e)(func(msg *message.Message) ([]*message.Message, error) {
			e.cancel()
			require.Error(t, msg.Context().Err())
			return nil, c.err
		})(heldMessage(t))
		require.NoError(t, err)
		require.Equal(t, c.outcome, e.outcome)
	}
}

// R5: an error of the store that the handler met is no attempt.
func TestStoreErrorOfTheHandler(t *testing.T) {
	for _, err := range []error{store.ErrUnavailable, store.ErrUnknown} {
		e := &fakeEngine{}
		met := &step.RetryError{Err: fmt.Errorf("read: %w", err)}
		_, got := middleware.Idempotency(e)(fails(met))(heldMessage(t))
		require.NoError(t, got)
		require.ErrorIs(t, e.outcome, step.ErrInterrupted)
	}
}

// The order is fixed: what is inside may not undo what is outside.
func TestChainOrder(t *testing.T) {
	run := func(h message.HandlerFunc, rules func(*store.Message) middleware.Rules) *fakeEngine {
		e := &fakeEngine{}
		chain := middleware.Chain(e, rules)
		for i := len(chain) - 1; i >= 0; i-- {
			h = chain[i](h)
		}
		_, err := h(heldMessage(t))
		require.NoError(t, err)
		return e
	}
	once := func(*store.Message) middleware.Rules {
		return middleware.Rules{Policy: step.Policy{Attempts: 1}, Timeout: 1}
	}
	var (
		again     *step.RetryError
		permanent *step.PermanentError
		panicked  *step.PanicError
	)
	// M8: a panic is an attempt like any other error.
	e := run(func(*message.Message) ([]*message.Message, error) { panic("x") }, nil)
	require.ErrorAs(t, e.outcome, &again)
	require.ErrorAs(t, again.Err, &panicked)
	// R4: the last attempt makes it a dead letter.
	e = run(fails(errHandler), once)
	require.ErrorAs(t, e.outcome, &permanent)
	require.False(t, errors.As(e.outcome, &again))
	// R1: the end of the handler's time is no interruption.
	e = run(func(msg *message.Message) ([]*message.Message, error) {
		<-msg.Context().Done()
		return nil, msg.Context().Err()
	}, once)
	require.ErrorAs(t, e.outcome, &permanent)
	require.NotErrorIs(t, e.outcome, step.ErrInterrupted)
	e = run(fails(nil), nil)
	require.NoError(t, e.outcome)
}
