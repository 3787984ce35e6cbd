package sagatest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/storetest"
)

var messageChecks = []check{
	{"a run is started once for each id", startedOnce},
	{"the id of a run is taken by its task and payload", startConflicts},
	{"ids are short and the same in each attempt", idsAreDerived},
	{"a start whose answer was lost is started", startAnswerLost},
	{"one outcome is stored, and a second one is discarded", oneOutcome},
	{"a handler is not entered twice while it runs, nor after", enteredOnce},
	{"nothing of a step is seen before its commit", nothingBeforeCommit},
	{"a step that fails leaves nothing", failedStepLeavesNothing},
	{"an unknown task waits, and then is a dead letter", unknownTask},
	{"an unknown task is run by a newer process", unknownTaskDeployed},
	{"a payload that does not decode is a dead letter at once", undecodable},
	{"a state that does not fit stops nobody", foreignSaga},
	{"a panic is a failed attempt with its stack", panics},
	{"every message is counted once", conservation},
}

// M1: one run, told apart whose start it was.
func startedOnce(x *fixture) {
	n := x.node(nil)
	var runs atomic.Int64
	task := saga.NewTask[string]("svc/once")
	saga.Handle(n, task, func(context.Context, string) (saga.Step, error) {
		return saga.Finish(runs.Add(1)), nil
	})
	n.run()
	first := start(n, task, "a", saga.ID("order-1"), saga.Nonce("mine"))
	retried := start(n, task, "a", saga.ID("order-1"), saga.Nonce("mine"))
	other := start(n, task, "a", saga.ID("order-1"))
	require.True(x, first.Started)
	require.True(x, retried.Started, "the same caller's retry")
	require.False(x, other.Started, "another caller's")
	for _, r := range []saga.Run{first, retried, other} {
		require.Equal(x, int64(1), result[int64](x, r))
	}
	again := start(n, task, "a", saga.ID("order-1"))
	require.False(x, again.Started, "after its end too")
	require.Equal(x, int64(1), runs.Load())
}

// M1
func startConflicts(x *fixture) {
	n := x.node(nil)
	a, b := saga.NewTask[string]("svc/a"), saga.NewTask[string]("svc/b")
	start(n, a, "x", saga.ID("taken"))
	_, err := saga.Start(x.ctx, n.Router, a, "y", saga.ID("taken"))
	require.ErrorIs(x, err, saga.ErrConflict)
	_, err = saga.Start(x.ctx, n.Router, b, "x", saga.ID("taken"))
	require.ErrorIs(x, err, saga.ErrConflict)
	require.Len(x, x.messages(), 1)
}

// M1, R5: whether it took effect or not, the caller is told "started".
func startAnswerLost(x *fixture) {
	var next atomic.Int64
	x.faulty(func(c storetest.Call) storetest.Fault {
		if c.Method == storetest.Commit {
			return storetest.Fault(next.Swap(0))
		}
		return storetest.None
	})
	n := x.node(nil)
	task := saga.NewTask[int]("svc/task")
	for i, f := range []storetest.Fault{storetest.Before, storetest.After, storetest.Lost} {
		next.Store(int64(f))
		require.True(x, start(n, task, i, saga.ID(fmt.Sprint(i))).Started)
		require.False(x, start(n, task, i, saga.ID(fmt.Sprint(i))).Started)
		next.Store(int64(f))
		require.NoError(x, saga.Enqueue(x.ctx, n.Router, fmt.Sprint(i), task, 1, 2))
	}
	require.Len(x, x.messages(), 9)
}

// M1, M10
func idsAreDerived(x *fixture) {
	n := x.node(nil)
	var ids log[string]
	a, b := saga.NewTask[int]("svc/a"), saga.NewTask[int]("svc/b")
	saga.Handle(n, a, func(ctx context.Context, v int) (saga.Step, error) {
		ids.add(saga.MessageID(ctx))
		if saga.Attempt(ctx) < 3 {
			return nil, errors.New("again")
		}
		return saga.Send(b, v), nil
	})
	saga.Handle(n, b, func(ctx context.Context, v int) (saga.Step, error) {
		return saga.Finish(saga.MessageID(ctx)), nil
	})
	n.run()
	r := start(n, a, 1)
	child := result[string](x, r)
	got := ids.all()
	require.Len(x, got, 3)
	require.Equal(x, []string{got[0], got[0], got[0]}, got, "an idempotency key")
	require.Equal(x, step.ChildID(got[0], 1), child)
	require.LessOrEqual(x, len(child), 36)
	require.Equal(x, got[0][:10], child[:10], "its run's time")
}

// oneOutcome runs a message twice at once, by taking it from a worker that is
// only thought to be dead.
//
// M2, M5
func oneOutcome(x *fixture) {
	task, child := saga.NewTask[int]("svc/task"), saga.NewTask[string]("svc/child")
	entered, gates := make(chan int, 2), []chan struct{}{make(chan struct{}), make(chan struct{})}
	var count atomic.Int64
	var children log[string]
	bind := func(n *node) {
		saga.Handle(n, task, func(context.Context, int) (saga.Step, error) {
			i := int(count.Add(1)) - 1
			entered <- i
			<-gates[i]
			return saga.Send(child, []string{"first", "second"}[i]), nil
		})
		saga.Handle(n, child, func(_ context.Context, s string) (saga.Step, error) {
			children.add(s)
			return saga.Finish(s), nil
		})
	}
	slow, other := x.node(nil), x.node(nil)
	bind(slow)
	bind(other)
	slow.run()
	r := start(slow, task, 1)
	require.Equal(x, 0, get(x, entered))
	other.run()
	x.closeWorker(slow)
	require.Equal(x, 1, get(x, entered), "the other runs it again")
	close(gates[1])
	require.Equal(x, "second", result[string](x, r))
	close(gates[0])
	slow.stop()
	require.Equal(x, []string{"second"}, children.all())
	require.Equal(x, int64(1), x.counters().Duplicates)
}

// closeWorker closes the worker of a node, as others do when its lease ended.
func (x *fixture) closeWorker(n *node) int64 {
	x.Helper()
	found, err := x.look().Find(x.ctx, store.Query{Workers: &store.WorkerQuery{}})
	require.NoError(x, err)
	for _, w := range found.Workers {
		if w.Key != n.key() {
			continue
		}
		_, err := x.look().Reap(x.ctx, store.Reap{Workers: []int64{w.Key}, Limit: 10_000})
		require.NoError(x, err)
		return w.Key
	}
	x.Fatal("the node has no worker")
	return 0
}

// M3
func enteredOnce(x *fixture) {
	task := saga.NewTask[int]("svc/task")
	entered, gate := make(chan int, 10), make(chan struct{})
	var nodes []*node
	for range 3 {
		n := x.node(func(c *router.Config) { c.Poll = time.Millisecond })
		saga.Handle(n, task, func(_ context.Context, v int) (saga.Step, error) {
			entered <- v
			<-gate
			return saga.Finish(v), nil
		})
		nodes = append(nodes, n.run())
	}
	r := start(nodes[0], task, 7)
	require.Equal(x, 7, get(x, entered))
	for _, n := range nodes {
		n.looks(5)
	}
	close(gate)
	require.Equal(x, 7, result[int](x, r))
	for _, n := range nodes {
		n.looks(5)
	}
	require.Empty(x, entered)
}

// M4, F1
func nothingBeforeCommit(x *fixture) {
	a, b := saga.NewTask[int]("svc/a"), saga.NewTask[int]("svc/b")
	late := saga.NewTask[saga.Joined[int]]("svc/late")
	ev := saga.NewEvent[int]("ev")
	decided, gate := make(chan struct{}), make(chan struct{})
	n, other := x.node(nil), x.node(nil)
	var early atomic.Bool
	for _, n := range []*node{n, other} {
		saga.Handle(n, a, func(ctx context.Context, v int) (saga.Step, error) {
			f := saga.ForkSeq(b, func(yield func(int) bool) { // so many that they are staged
				for i := range 1200 {
					if !yield(i) {
						return
					}
				}
				early.Store(true)
				close(decided)
				<-gate
				early.Store(false)
			})
			return saga.Do(f, saga.Emit(ev, 1), saga.Send(b, -1), saga.Send(b, -2).After(time.Millisecond),
				saga.Join(saga.AllOf(f), late, 0)), nil
		})
		saga.Handle(n, b, func(context.Context, int) (saga.Step, error) {
			if early.Load() {
				x.Error("a child runs before its parent's commit")
			}
			return nil, nil
		})
		saga.Handle(n, late, func(_ context.Context, j saga.Joined[int]) (saga.Step, error) {
			return saga.Finish(j.Total), nil
		})
	}
	n.run()
	other.run()
	r := start(n, a, 1)
	get(x, decided)
	other.looks(3)
	require.Len(x, x.messages(), 1, "the parent only")
	require.Empty(x, rows[step.EventRow](x, store.Event))
	require.Empty(x, rows[step.JoinRow](x, store.Join))
	close(gate)
	require.Equal(x, 1200, result[int](x, r))
}

// looks waits until the node has looked for work so many times more; where
// the clock stands still, until it waits for the clock.
func (n *node) looks(times int64) {
	n.x.Helper()
	if n.x.clock != nil {
		n.x.parked()
		return
	}
	want := n.grabs.Load() + times
	n.x.until("the node looks for work", func() bool { return n.grabs.Load() >= want })
}

// M4, F1, M8: whatever it was about to decide.
func failedStepLeavesNothing(x *fixture) {
	a, b := saga.NewTask[int]("svc/a"), saga.NewTask[int]("svc/b")
	ev := saga.NewEvent[int]("ev")
	n := x.node(nil)
	var ran atomic.Int64
	saga.Handle(n, a, func(ctx context.Context, v int) (saga.Step, error) {
		f := saga.ForkSeq(b, func(yield func(int) bool) {
			for i := range 1000 {
				if !yield(i) || i == 700 && saga.Attempt(ctx) == 1 {
					panic("in the middle of a fork")
				}
			}
		})
		switch saga.Attempt(ctx) {
		case 2:
			return saga.Do(f, saga.Emit(ev, 1)), errors.New("an error counts, whatever step comes with it")
		case 3:
			return saga.Do(saga.Send(b, 1), saga.Finish("done")), nil
		}
		return f, nil
	})
	saga.Handle(n, b, func(context.Context, int) (saga.Step, error) { ran.Add(1); return nil, nil })
	n.run()
	require.Equal(x, "done", result[string](x, start(n, a, 1)))
	n.stop()
	require.Zero(x, ran.Load())
	require.Empty(x, rows[step.EventRow](x, store.Event))
	require.Empty(x, rows[step.ChunkRow](x, store.Chunk))
}

// M6
func unknownTask(x *fixture) {
	x.fake()
	n := x.node(func(c *router.Config) { c.Policy = step.Policy{UnknownFor: 10 * time.Minute} })
	known, unknown := saga.NewTask[int]("svc/known"), saga.NewTask[int]("svc/unknown")
	saga.Handle(n, known, func(_ context.Context, v int) (saga.Step, error) { return saga.Finish(v), nil })
	n.run()
	lost := start(x.node(nil), unknown, 1) // a node that runs svc would refuse
	require.Equal(x, 2, result[int](x, start(n, known, 2)), "the consumer goes on")
	began := x.clock.Now()
	for len(rows[step.DeadRow](x, store.Dead)) == 0 {
		require.NoError(x, x.ctx.Err())
		x.pass(10 * time.Second)
	}
	require.GreaterOrEqual(x, x.clock.Since(began), 9*time.Minute)
	require.Equal(x, 3, result[int](x, start(n, known, 3)))
	letter := rows[step.DeadRow](x, store.Dead)[0]
	require.Contains(x, letter.Reason, "svc/unknown")
	require.Equal(x, lost.ID, letter.Message.RunID)
}

// M6: a rolling deploy.
func unknownTaskDeployed(x *fixture) {
	old, young := x.node(nil), x.node(nil)
	known, unknown := saga.NewTask[int]("svc/known"), saga.NewTask[int]("svc/new")
	saga.Handle(old, known, func(_ context.Context, v int) (saga.Step, error) { return nil, nil })
	saga.Handle(young, unknown, func(_ context.Context, v int) (saga.Step, error) { return saga.Finish(v), nil })
	old.run()
	r := start(young, unknown, 5)
	x.until("the old process has met it", func() bool { return len(rows[step.AttemptRow](x, store.Attempt)) > 0 })
	young.run()
	old.stop()
	require.Equal(x, 5, result[int](x, find(young, r)))
}

// find returns a handle on the run by way of another node.
func find(n *node, r saga.Run) saga.Run {
	n.x.Helper()
	got, err := saga.Find(n.x.ctx, n.Router, r.ID)
	require.NoError(n.x, err)
	return got
}

// M6
func undecodable(x *fixture) {
	n := x.node(nil)
	wants, gives := saga.NewTask[int]("svc/task"), saga.NewTask[string]("svc/task")
	entered := make(chan int, 2)
	saga.Handle(n, wants, func(_ context.Context, v int) (saga.Step, error) { entered <- v; return saga.Finish(v), nil })
	n.run()
	start(n, gives, "no number")
	x.until("dead letter", func() bool { return len(rows[step.DeadRow](x, store.Dead)) == 1 })
	letter := rows[step.DeadRow](x, store.Dead)[0]
	require.Equal(x, 1, letter.Message.Attempt, "at once")
	require.Contains(x, letter.Reason, "decode")
	require.Equal(x, []byte(`"no number"`), letter.Message.Payload)
	require.Equal(x, 4, result[int](x, start(n, wants, 4)))
	require.Len(x, entered, 1)
}

// M6, R6: the id of an instance is taken by a run of another sort.
func foreignSaga(x *fixture) {
	n := x.node(nil)
	sg := saga.NewStateful[int]("svc/saga")
	plain, add := saga.NewTask[int]("svc/plain"), saga.NewTask[string]("svc/add")
	saga.Handle(n, plain, func(_ context.Context, v int) (saga.Step, error) { return saga.Finish(v), nil })
	saga.HandleState(n, sg, add, func(s string) string { return s }, func(_ context.Context, st *int, _ string) (saga.Step, error) {
		*st++
		return saga.Finish(*st), nil
	}, saga.Starts())
	n.run()
	require.Equal(x, 1, result[int](x, start(n, plain, 1, saga.ID("svc/saga/a"))))
	require.NoError(x, saga.Enqueue(x.ctx, n.Router, "", add, "a", "b"))
	x.until("dead letter", func() bool { return len(rows[step.DeadRow](x, store.Dead)) == 1 })
	x.until("the other one", func() bool { return len(x.messages()) == 0 })
}

// M8, R1
func panics(x *fixture) {
	n := x.node(nil)
	task := saga.NewTask[int]("svc/task")
	saga.Handle(n, task, func(ctx context.Context, v int) (saga.Step, error) {
		if saga.Attempt(ctx) == 1 {
			panicsHere()
		}
		return nil, saga.Permanent(errors.New("enough"))
	})
	n.run()
	r := start(n, task, 1)
	x.until("dead letter", func() bool { return len(rows[step.DeadRow](x, store.Dead)) == 1 })
	attempts := rows[step.AttemptRow](x, store.Attempt)
	require.Len(x, attempts, 2)
	require.Contains(x, attempts[0].Text, "out of coffee")
	require.Contains(x, attempts[0].Stack, "panicsHere")
	require.Empty(x, attempts[1].Stack)
	require.Equal(x, "attempt", x.history(r)[1].Kind)
}

func panicsHere() { panic("out of coffee") }

// M9
func conservation(x *fixture) {
	n := x.node(nil)
	a, b, bad := saga.NewTask[int]("svc/a"), saga.NewTask[int]("svc/b"), saga.NewTask[int]("svc/bad")
	saga.Handle(n, a, func(context.Context, int) (saga.Step, error) {
		return saga.Do(saga.Send(b, 1), saga.Send(bad, 1), saga.Send(b, 2).After(time.Hour)), nil
	})
	ran := make(chan struct{}, 1)
	saga.Handle(n, b, func(context.Context, int) (saga.Step, error) { ran <- struct{}{}; return nil, nil })
	saga.Handle(n, bad, func(context.Context, int) (saga.Step, error) { return nil, saga.Permanent(errors.New("no")) })
	n.run()
	r := start(n, a, 1)
	get(x, ran)
	x.until("all is as it should be", func() bool {
		c := x.counters()
		return c == step.CounterRow{Accepted: 4, Done: 2, Dead: 1} && len(x.messages()) == 1
	})
	require.NoError(x, r.Cancel(x.ctx, "enough"))
	x.until("the timer is cancelled", func() bool {
		return x.counters() == step.CounterRow{Accepted: 4, Done: 2, Dead: 1, Cancelled: 1} && len(x.messages()) == 0
	})
	x.conserved()
}
