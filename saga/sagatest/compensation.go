package sagatest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

var compensationChecks = []check{
	{"undos run in reverse order, each once, each after the one before", undoOrder},
	{"steps in flight end, and their undos count", undoInFlight},
	{"an undo is tried again, and a failing one stops the chain", undoFails},
	{"compensation goes on after a crash", undoCrash},
}

// C1
func undoOrder(x *fixture) {
	n := x.node(nil)
	task, undo := saga.NewTask[int]("svc/task"), saga.NewTask[int]("svc/undo")
	var undone log[int]
	saga.Handle(n, task, func(_ context.Context, i int) (saga.Step, error) {
		if i == 4 {
			return saga.Do(saga.Undo(undo, 9), saga.Fail("no luck")), nil
		}
		return saga.Do(saga.Undo(undo, 2*i), saga.Undo(undo, 2*i+1), saga.Send(task, i+1)), nil
	})
	var running atomic.Int64
	saga.Handle(n, undo, func(ctx context.Context, i int) (saga.Step, error) {
		if running.Add(1) != 1 {
			x.Error("two undos at once")
		}
		defer running.Add(-1)
		if i == 5 && saga.Attempt(ctx) == 1 {
			return nil, errors.New("again")
		}
		undone.add(i)
		return nil, nil
	})
	n.run()
	r := start(n, task, 0)
	require.ErrorContains(x, r.Result(x.ctx, nil), "no luck")
	require.Equal(x, []int{9, 7, 6, 5, 4, 3, 2, 1, 0}, undone.all())
	require.Empty(x, rows[step.UndoRow](x, store.Undo))
}

// C1, N3: their sends do not.
func undoInFlight(x *fixture) {
	n := x.node(func(c *router.Config) { c.Concurrency = 2 })
	begin, slow, fails := saga.NewTask[int]("svc/begin"), saga.NewTask[int]("svc/slow"), saga.NewTask[int]("svc/fails")
	never, undo := saga.NewTask[int]("svc/never"), saga.NewTask[string]("svc/undo")
	entered, gate := make(chan struct{}), make(chan struct{})
	var undone log[string]
	saga.Handle(n, begin, func(context.Context, int) (saga.Step, error) {
		return saga.Do(saga.Undo(undo, "begin"), saga.Send(slow, 1).Priority(2), saga.Send(fails, 1).Priority(1),
			saga.Send(never, 1), saga.Send(never, 1).After(time.Hour)), nil
	})
	saga.Handle(n, slow, func(context.Context, int) (saga.Step, error) {
		close(entered)
		<-gate
		return saga.Do(saga.Undo(undo, "slow"), saga.Send(never, 2), saga.Emit(event(0), 1)), nil
	})
	saga.Handle(n, fails, func(context.Context, int) (saga.Step, error) { <-entered; return saga.Fail("no luck"), nil })
	saga.Handle(n, never, func(context.Context, int) (saga.Step, error) { x.Error("it was not begun"); return nil, nil })
	saga.Handle(n, undo, func(_ context.Context, s string) (saga.Step, error) { undone.add(s); return nil, nil })
	n.run()
	r := start(n, begin, 1)
	x.status(r, store.Failing)
	n.looks(3)
	require.Empty(x, undone.all(), "not while a step runs")
	close(gate)
	require.ErrorIs(x, r.Result(x.ctx, nil), saga.ErrFailed)
	require.Equal(x, []string{"slow", "begin"}, undone.all())
	require.Equal(x, int64(2), x.counters().Cancelled)
}

// C1
func undoFails(x *fixture) {
	n := x.node(nil)
	task, undo := saga.NewTask[int]("svc/task"), saga.NewTask[int]("svc/undo")
	var undone log[int]
	var mended atomic.Bool
	saga.Handle(n, task, func(context.Context, int) (saga.Step, error) {
		return saga.Do(saga.Undo(undo, 0), saga.Undo(undo, 1), saga.Undo(undo, 2), saga.Fail("no luck")), nil
	})
	saga.Handle(n, undo, func(_ context.Context, i int) (saga.Step, error) {
		if i == 1 && !mended.Load() {
			return nil, errors.New("can't be undone")
		}
		undone.add(i)
		return nil, nil
	})
	n.run()
	r := start(n, task, 0)
	seq, d := x.letter()
	require.Equal(x, 3, d.Message.Attempt, "with its own retries")
	require.Equal(x, []int{2}, undone.all())
	row := x.row(r)
	require.Equal(x, store.Failing, row.Status)
	require.Contains(x, row.Error, "can't be undone")
	mended.Store(true)
	_, err := n.Commit(x.ctx, &step.Outcome{Verb: step.Requeue, Dead: &step.DeadOp{Seq: seq}})
	require.NoError(x, err)
	require.ErrorIs(x, r.Result(x.ctx, nil), saga.ErrFailed)
	require.Equal(x, []int{2, 1, 0}, undone.all())
}

// C1, M5
func undoCrash(x *fixture) {
	task, undo := saga.NewTask[int]("svc/task"), saga.NewTask[int]("svc/undo")
	fails := func(context.Context, int) (saga.Step, error) {
		return saga.Do(saga.Undo(undo, 0), saga.Undo(undo, 1), saga.Fail("no luck")), nil
	}
	n := x.node(nil)
	entered, gate := make(chan struct{}), make(chan struct{})
	saga.Handle(n, task, fails)
	saga.Handle(n, undo, func(context.Context, int) (saga.Step, error) { close(entered); <-gate; return nil, nil })
	n.run()
	r := start(n, task, 0)
	get(x, entered)
	n.cut.Store(true)
	x.closeWorkers()
	close(gate)
	n.stop()
	again := x.node(nil)
	var undone log[int]
	saga.Handle(again, task, fails)
	saga.Handle(again, undo, func(_ context.Context, i int) (saga.Step, error) { undone.add(i); return nil, nil })
	again.run()
	require.ErrorIs(x, find(again, r).Result(x.ctx, nil), saga.ErrFailed)
	require.Equal(x, []int{1, 0}, undone.all())
}
