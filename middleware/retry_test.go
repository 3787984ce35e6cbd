package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/middleware"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// retried runs one attempt under a policy. It returns the delay until the next
// one, or the error that Retry lets through.
func retried(t *testing.T, p step.Policy, u *step.Unit, err error) (time.Duration, error) {
	h := middleware.Retry(func(*store.Message) step.Policy { return p })(fails(err))
	out, got := h(within(t, u))
	var again *step.RetryError
	if errors.As(got, &again) && got == error(again) {
		require.Empty(t, out, "what a failed handler produced is dropped")
		require.Equal(t, err, again.Err)
		return again.After, nil
	}
	return 0, got
}

// attempt is the unit of the n-th attempt, counted from 1.
func attempt(n int) *step.Unit {
	return &step.Unit{Message: &store.Message{Attempt: n - 1, First: 1}, Now: 1}
}

// R1
func TestRetryByPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		policy step.Policy
		delays []time.Duration // after each attempt; then it is given up
	}{
		"factor and cap": {step.Policy{Initial: time.Second, Factor: 3, Cap: 5 * time.Second, Attempts: 5}, []time.Duration{1e9, 3e9, 5e9, 5e9}},
		"explicit":       {step.Policy{Delays: []time.Duration{time.Second, time.Minute}, Attempts: 4}, []time.Duration{1e9, 60e9, 60e9}},
		"once":           {step.Policy{Attempts: 1}, nil},
		"default":        {step.Policy{}, []time.Duration{1e9, 2e9, 4e9, 8e9, 16e9, 32e9, 64e9, 128e9, 256e9}},
		"default, spelt": {step.DefaultPolicy, []time.Duration{1e9, 2e9, 4e9, 8e9, 16e9, 32e9, 64e9, 128e9, 256e9}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, want := range c.delays {
				delay, err := retried(t, c.policy, attempt(i+1), errHandler)
				require.NoError(t, err)
				require.Equal(t, want, delay, "after attempt %d", i+1)
			}
			_, err := retried(t, c.policy, attempt(len(c.delays)+1), errHandler)
			require.Equal(t, errHandler, err, "the last one's error is for others to decide")
		})
	}
}

// R1
func TestRetryGivesUpWhenTimeIsUp(t *testing.T) {
	p := step.Policy{Initial: time.Minute, Factor: 1, Elapsed: time.Hour}
	u := attempt(30)
	u.Now = u.Message.First.Add(59 * time.Minute)
	_, err := retried(t, p, u, errHandler)
	require.NoError(t, err)
	u.Now = u.Message.First.Add(59*time.Minute + time.Second)
	_, err = retried(t, p, u, errHandler)
	require.Equal(t, errHandler, err, "the next one would begin too late")
	u.Now = u.Message.First.Add(-time.Hour)
	_, err = retried(t, p, u, errHandler)
	require.NoError(t, err, "a clock that was set back counts as no time")
}

// R1
func TestJitterShortens(t *testing.T) {
	p := step.Policy{Initial: time.Minute, Jitter: 0.5, Attempts: 2}
	seen := map[time.Duration]bool{}
	for range 50 {
		delay, err := retried(t, p, attempt(1), errHandler)
		require.NoError(t, err)
		require.True(t, 30*time.Second <= delay && delay <= time.Minute)
		seen[delay] = true
	}
	require.Greater(t, len(seen), 10)
}

// M6: an unknown task is retried for its grace, whatever the policy says of
// attempts; at least once a minute, since a newer process may have come.
func TestUnknownTask(t *testing.T) {
	unknown := fmt.Errorf("%w: %q", step.ErrUnknownTask, "svc/new")
	p := step.Policy{Initial: time.Second, Factor: 100, Cap: time.Hour, Attempts: 2, UnknownFor: time.Hour}
	u := attempt(1)
	u.Message.First = 0
	delay, err := retried(t, p, u, unknown)
	require.NoError(t, err)
	require.Equal(t, time.Second, delay)
	u = attempt(40)
	u.Now = u.Message.First.Add(58 * time.Minute)
	delay, err = retried(t, p, u, unknown)
	require.NoError(t, err)
	require.Equal(t, time.Minute, delay)
	u.Now = u.Message.First.Add(time.Hour)
	_, err = retried(t, p, u, unknown)
	require.ErrorIs(t, err, step.ErrUnknownTask)
}

// R1: what the handler has decided itself stands.
func TestRetryLeavesDecisions(t *testing.T) {
	for _, err := range []error{
		&step.RetryError{After: 7 * time.Minute, Err: errHandler},
		&step.PermanentError{Err: errHandler},
		fmt.Errorf("wrapped: %w", &step.RetryError{After: 7 * time.Minute, Err: errHandler}),
	} {
		h := middleware.Retry(func(*store.Message) step.Policy { panic("nobody asks for it") })(fails(err))
		_, got := h(within(t, attempt(1)))
		require.Equal(t, err, got)
	}
}

func TestRetryWithoutFailure(t *testing.T) {
	h := middleware.Retry(func(*store.Message) step.Policy { panic("nobody asks for it") })
	out, err := h(fails(nil))(within(t, attempt(1)))
	require.NoError(t, err)
	require.Len(t, out, 1)
	_, err = h(fails(errHandler))(message.NewMessage("outside any unit", nil))
	require.Equal(t, errHandler, err)
}

// R4
func TestPoison(t *testing.T) {
	decided := &step.RetryError{Err: errHandler}
	for _, c := range []struct{ err, want error }{
		{nil, nil}, {decided, decided}, {errHandler, &step.PermanentError{Err: errHandler}},
	} {
		out, err := middleware.Poison(fails(c.err))(within(t, attempt(1)))
		require.Equal(t, c.want, err)
		if c.err == errHandler {
			require.Empty(t, out, "what a failed handler produced is dropped")
		}
	}
}

// M8
func TestRecover(t *testing.T) {
	for _, v := range []any{"a panic", errHandler, nil} {
		out, err := middleware.Recover(func(*message.Message) ([]*message.Message, error) { panic(v) })(within(t, attempt(1)))
		require.Empty(t, out)
		var p *step.PanicError
		require.ErrorAs(t, err, &p)
		require.Contains(t, p.Stack, "TestRecover")
		require.NotErrorIs(t, err, errHandler, "a panic is never taken for a decision")
	}
	out, err := middleware.Recover(fails(nil))(within(t, attempt(1)))
	require.NoError(t, err)
	require.Len(t, out, 1)
}

// R1: a handler that takes too long has failed, and may be tried again.
func TestTimeout(t *testing.T) {
	limit := func(d time.Duration) message.HandlerMiddleware {
		return middleware.Timeout(func(*store.Message) time.Duration { return d })
	}
	slow := func(msg *message.Message) ([]*message.Message, error) {
		<-msg.Context().Done()
		return nil, msg.Context().Err()
	}
	msg := within(t, attempt(1))
	_, err := limit(time.Nanosecond)(slow)(msg)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, msg.Context().Err(), "the deadline is the handler's alone")

	deadline := func(msg *message.Message) ([]*message.Message, error) {
		_, has := msg.Context().Deadline()
		require.False(t, has)
		require.Nil(t, step.UnitFrom(msg.Context()).Tx)
		return nil, nil
	}
	_, err = limit(0)(deadline)(msg)
	require.NoError(t, err)
	_, err = limit(time.Hour)(fails(nil))(message.NewMessage("outside any unit", nil))
	require.NoError(t, err)
}
