package sagatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

var retryChecks = []check{
	{"a failed message is due again by its policy", retryPolicy},
	{"a message is given up after the time that its policy allows", retryElapsed},
	{"the mail schedule gives up at attempt 121, after 4.9 days", mailSchedule},
	{"a handler says when to try again, or that it is of no use", retryAfter},
	{"waiting for a retry survives a crash and blocks nobody", retrySurvives},
	{"attempts are stored, and counted in the row", attemptsStored},
	{"a timeout is a failed attempt", handlerTimeout},
	{"one message's poison takes no other down", poisonInBatch},
}

// schedule runs a task that always fails, and verifies how long after each
// attempt the next one comes: not earlier, and not later.
func (x *fixture) schedule(p step.Policy, delays []time.Duration) {
	x.Helper()
	n := x.node(nil)
	task := saga.NewTask[int]("svc/task")
	ran := make(chan int, 9)
	saga.Handle(n, task, func(ctx context.Context, _ int) (saga.Step, error) {
		ran <- saga.Attempt(ctx)
		return nil, errors.New("no")
	}, saga.WithPolicy(p))
	n.run()
	require.NoError(x, saga.Enqueue(x.ctx, n.Router, "", task, 1))
	for i, d := range delays {
		require.Equal(x, i+1, get(x, ran))
		x.until("stored", func() bool { return len(rows[step.AttemptRow](x, store.Attempt)) == i+1 })
		x.pass(d - 500*time.Millisecond)
		x.parked()
		require.Empty(x, ran, "attempt %d is early", i+2)
		x.pass(500 * time.Millisecond)
	}
	require.Equal(x, len(delays)+1, get(x, ran))
	_, d := x.letter()
	require.Equal(x, len(delays)+1, d.Message.Attempt)
}

// R1, T4: the delays grow by a factor, up to a cap.
func retryPolicy(x *fixture) {
	x.fake()
	x.schedule(step.Policy{Initial: time.Second, Factor: 3, Cap: 10 * time.Second, Attempts: 6},
		[]time.Duration{time.Second, 3 * time.Second, 9 * time.Second, 10 * time.Second, 10 * time.Second})
}

// R1: no attempt begins later than that after the first failure.
func retryElapsed(x *fixture) {
	x.fake()
	x.schedule(step.Policy{Initial: time.Minute, Factor: 1, Elapsed: 3*time.Minute + 30*time.Second},
		[]time.Duration{time.Minute, time.Minute, time.Minute})
}

// R3, R1: one line.
func mailSchedule(x *fixture) {
	x.fake()
	p := step.Policy{Delays: []time.Duration{5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour}, Attempts: 121}
	require.Equal(x, p, step.Mail)
	delays := append([]time.Duration(nil), p.Delays...)
	for len(delays) < 120 {
		delays = append(delays, time.Hour)
	}
	began := x.clock.Now()
	x.schedule(p, delays)
	require.InDelta(x, 4.9, x.clock.Since(began).Hours()/24, 0.05)
}

// R1
func retryAfter(x *fixture) {
	x.fake()
	n := x.node(func(c *router.Config) { c.Policy = step.Policy{Attempts: 2, Initial: time.Hour} })
	task := saga.NewTask[int]("svc/task")
	ran := make(chan int, 9)
	saga.Handle(n, task, func(ctx context.Context, _ int) (saga.Step, error) {
		ran <- saga.Attempt(ctx)
		if saga.Attempt(ctx) < 4 {
			return nil, saga.RetryAfter(time.Minute, errors.New("busy"))
		}
		return nil, fmt.Errorf("of no use: %w", saga.Permanent(errors.New("bad order")))
	})
	n.run()
	start(n, task, 1)
	for i := 1; i <= 4; i++ {
		require.Equal(x, i, get(x, ran), "it overrides the policy")
		x.until("stored", func() bool { return len(rows[step.AttemptRow](x, store.Attempt)) == i })
		x.pass(time.Minute)
	}
	letters := rows[step.DeadRow](x, store.Dead)
	require.Len(x, letters, 1)
	require.Contains(x, letters[0].Reason, "bad order")
}

// R1, M3
func retrySurvives(x *fixture) {
	x.fake()
	n := x.node(func(c *router.Config) { c.Concurrency = 1 })
	fails, other := saga.NewTask[int]("svc/fails"), saga.NewTask[int]("svc/other")
	hour := saga.WithPolicy(step.Policy{Delays: []time.Duration{time.Hour}, Attempts: 2})
	saga.Handle(n, fails, func(context.Context, int) (saga.Step, error) { return nil, errors.New("no") }, hour)
	saga.Handle(n, other, func(_ context.Context, v int) (saga.Step, error) { return saga.Finish(v), nil })
	n.run()
	r := start(n, fails, 1)
	x.until("failed", func() bool { return len(rows[step.AttemptRow](x, store.Attempt)) == 1 })
	require.Equal(x, 2, result[int](x, start(n, other, 2)), "the only slot is free")
	n.crash()
	again := x.node(nil)
	ran := make(chan int, 9)
	saga.Handle(again, fails, func(ctx context.Context, _ int) (saga.Step, error) {
		ran <- saga.Attempt(ctx)
		return saga.Finish("well"), nil
	}, hour)
	again.run()
	x.pass(59 * time.Minute)
	again.looks(2)
	require.Empty(x, ran, "not early")
	x.pass(time.Minute)
	require.Equal(x, 2, get(x, ran))
	require.Equal(x, "well", result[string](x, find(again, r)))
	require.Empty(x, ran)
}

// R1, R2
func attemptsStored(x *fixture) {
	n := x.node(nil)
	task := saga.NewTask[int]("svc/task")
	gate := make(chan struct{}, 1)
	saga.Handle(n, task, func(ctx context.Context, _ int) (saga.Step, error) {
		if saga.Attempt(ctx) == 3 {
			<-gate
		}
		return nil, fmt.Errorf("failure %d", saga.Attempt(ctx))
	}, saga.WithPolicy(step.Policy{Delays: []time.Duration{time.Millisecond}, Attempts: 4}))
	n.run()
	r := start(n, task, 1)
	x.until("two attempts", func() bool { return len(rows[step.AttemptRow](x, store.Attempt)) == 2 })
	host, _ := os.Hostname()
	for i, a := range rows[step.AttemptRow](x, store.Attempt) {
		require.Equal(x, i+1, a.Number)
		require.NotZero(x, a.At)
		require.Equal(x, host, a.Host)
		require.Equal(x, os.Getpid(), a.PID)
		require.Equal(x, fmt.Sprintf("failure %d", i+1), a.Text)
	}
	// R2: the texts are cleared, the number stays.
	id := x.messages()[0].ID
	require.NoError(x, x.look().Commit(x.ctx, store.Keys{}, func(*store.Snapshot) *store.Changes {
		return &store.Changes{DeleteRows: []store.RowKey{
			{Kind: store.Attempt, Owner: id, Name: store.Num(1)}, {Kind: store.Attempt, Owner: id, Name: store.Num(2)},
		}}
	}))
	gate <- struct{}{}
	x.until("dead", func() bool { return len(rows[step.DeadRow](x, store.Dead)) == 1 })
	require.Equal(x, 4, rows[step.DeadRow](x, store.Dead)[0].Message.Attempt)
	require.Equal(x, 1, x.row(r).Dead)
}

// R1
func handlerTimeout(x *fixture) {
	n := x.node(nil)
	task := saga.NewTask[int]("svc/task")
	saga.Handle(n, task, func(ctx context.Context, _ int) (saga.Step, error) {
		if saga.Attempt(ctx) == 1 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return saga.Finish(saga.Attempt(ctx)), nil
	}, saga.WithTimeout(20*time.Millisecond))
	n.run()
	require.Equal(x, 2, result[int](x, start(n, task, 1)))
}

// R6: in one commit, decisions of all sorts that can't be stored.
func poisonInBatch(x *fixture) {
	const messages = 200
	n := x.node(nil)
	task, child := saga.NewTask[int]("svc/task"), saga.NewTask[int]("svc/child")
	gate := make(chan struct{})
	var ready atomic.Int64
	saga.Handle(n, task, func(_ context.Context, i int) (saga.Step, error) {
		if ready.Add(1) == messages {
			close(gate)
		}
		<-gate // all end at once
		switch i % 10 {
		case 1:
			return saga.Emit(event(1), 1), nil // a job has no run
		case 2:
			return saga.Do(saga.Send(child, 1), saga.Send(saga.NewTask[int]("bad name"), 1)), nil
		case 3:
			panic("poison")
		}
		return saga.Send(child, i), nil
	}, saga.WithPolicy(step.Policy{Attempts: 1}))
	var children atomic.Int64
	saga.Handle(n, child, func(context.Context, int) (saga.Step, error) { children.Add(1); return nil, nil })
	n.run()
	var all []int
	for i := range messages {
		all = append(all, i)
	}
	require.NoError(x, saga.Enqueue(x.ctx, n.Router, "", task, all...))
	x.until("all have ended", func() bool { return len(x.messages()) == 0 })
	require.Len(x, rows[step.DeadRow](x, store.Dead), messages*3/10)
	require.Equal(x, int64(messages*7/10), children.Load())
}
