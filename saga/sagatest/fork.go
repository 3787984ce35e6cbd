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

var forkChecks = []check{
	{"a step's decisions come in any order", anyOrder},
	{"contradictory decisions leave nothing", contradiction},
	{"forks of all sizes join once, with all results", forkSizes},
	{"a dead child counts as failed", deadChild},
	{"a join over a fork can be had early", forkEarly},
	{"a fork that is staged when the process dies leaves nothing", forkCrash},
	{"a staged fork goes on after a crash", forkGoesOn},
	{"a task of another service joins in the run", otherService},
}

// seq yields the numbers below n.
func seq(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// F1
func anyOrder(x *fixture) {
	n := x.node(nil)
	a, b, undo := saga.NewTask[bool]("svc/a"), saga.NewTask[int]("svc/b"), saga.NewTask[int]("svc/undo")
	end := saga.NewTask[saga.Joined[int]]("svc/end")
	ev, ev2 := saga.NewEvent[int]("ev"), saga.NewEvent[int]("ev2")
	saga.Handle(n, a, func(_ context.Context, reverse bool) (saga.Step, error) {
		f := saga.Fork(b, 1, 2, 3)
		steps := []saga.Step{
			saga.Emit(ev, 1), f, saga.Join(saga.All(ev, ev2), end, 5), saga.Undo(undo, 1), saga.Record("note", 1),
			saga.Send(b, 4).After(time.Hour).Named("late"), saga.Cancel("late"), saga.Emit(ev2, 2), nil,
		}
		if reverse {
			for i := range len(steps) / 2 {
				steps[i], steps[len(steps)-1-i] = steps[len(steps)-1-i], steps[i]
			}
		}
		return saga.Do(steps...), nil
	})
	saga.Handle(n, b, func(context.Context, int) (saga.Step, error) { return nil, nil })
	saga.Handle(n, end, func(_ context.Context, j saga.Joined[int]) (saga.Step, error) {
		return saga.Finish(j.Events.Names()), nil
	})
	n.run()
	for _, reverse := range []bool{false, true} {
		r := start(n, a, reverse)
		if reverse { // there is no timer yet when it is cancelled
			x.until("joined", func() bool { return x.row(r).Status == store.Finished })
		}
		require.Equal(x, []string{"ev", "ev2"}, result[[]string](x, r))
	}
}

// F1
func contradiction(x *fixture) {
	n := x.node(nil)
	a, b := saga.NewTask[int]("svc/a"), saga.NewTask[int]("svc/b")
	end := saga.NewTask[saga.Joined[int]]("svc/end")
	ev := saga.NewEvent[int]("ev")
	foreign := saga.Fork(b, 1)
	steps := []saga.Step{
		saga.Do(saga.Send(b, 1).After(time.Hour).Named("n"), saga.Send(b, 2).After(time.Hour).Named("n")),
		saga.Do(saga.Join(saga.All(event(5)), end, 1).Named("n"), saga.Send(b, 2).Named("n")),
		saga.Join(saga.AllOf(foreign), end, 1),
		saga.Join(saga.All(ev, ev), end, 1),
		saga.Reply("to nobody"),
	}
	saga.Handle(n, a, func(_ context.Context, i int) (saga.Step, error) {
		return saga.Do(saga.Send(b, 9), saga.Emit(ev, 1), steps[i]), nil
	})
	saga.Handle(n, b, func(context.Context, int) (saga.Step, error) { return nil, nil })
	n.run()
	for i := range steps {
		start(n, a, i)
	}
	x.until("dead letters", func() bool { return len(rows[step.DeadRow](x, store.Dead)) == len(steps) })
	require.Equal(x, step.CounterRow{Accepted: int64(len(steps)), Dead: int64(len(steps))}, x.counters())
	require.Empty(x, rows[step.EventRow](x, store.Event))
}

// family is a fork with a join over it.
type family struct {
	start saga.Task[int]
	child saga.Task[int]
	end   saga.Task[saga.Joined[int]]
}

type summary struct{ Total, Done, Failed, Sum int }

func newFamily(n *node, child saga.Handler[int], change func(saga.Condition) saga.Condition) family {
	f := family{saga.NewTask[int]("fam/start"), saga.NewTask[int]("fam/child"), saga.NewTask[saga.Joined[int]]("fam/end")}
	saga.Handle(n, f.start, func(_ context.Context, k int) (saga.Step, error) {
		fork := saga.ForkSeq(f.child, seq(k))
		cond := saga.AllOf(fork)
		if change != nil {
			cond = change(cond)
		}
		return saga.Do(fork, saga.Join(cond, f.end, k)), nil
	})
	saga.Handle(n, f.child, child)
	saga.Handle(n, f.end, func(ctx context.Context, j saga.Joined[int]) (saga.Step, error) {
		s := summary{Total: j.Total, Done: j.Done, Failed: j.Failed}
		for o, err := range saga.Results[int](ctx, j) {
			if err != nil {
				return nil, err
			}
			if o.Failed != (o.Error != "") || !o.Failed && o.Value != o.Index*o.Index {
				return saga.Fail("a wrong result"), nil
			}
			s.Sum += o.Value
		}
		return saga.Finish(s), nil
	})
	return f
}

// F9, F2
func forkSizes(x *fixture) {
	n := x.node(nil)
	f := newFamily(n, func(_ context.Context, i int) (saga.Step, error) { return saga.Return(i * i), nil }, nil)
	n.run()
	for _, k := range []int{0, 1, 2, 499, 500, 501, 1000, 2500} {
		want := summary{Total: k, Done: k}
		for i := range k {
			want.Sum += i * i
		}
		require.Equal(x, want, result[summary](x, start(n, f.start, k)))
	}
	n.stop()
	require.Empty(x, rows[step.ChunkRow](x, store.Chunk))
	require.Empty(x, rows[step.JoinRow](x, store.Join))
}

// F9: also in a large fork.
func deadChild(x *fixture) {
	n := x.node(nil)
	f := newFamily(n, func(_ context.Context, i int) (saga.Step, error) {
		if i%100 == 7 {
			return nil, saga.Permanent(errors.New("no"))
		}
		return saga.Return(i * i), nil
	}, nil)
	n.run()
	for _, k := range []int{10, 1001} {
		got := result[summary](x, start(n, f.start, k))
		got.Sum = 0
		require.Equal(x, summary{Total: k, Done: k - (k+92)/100, Failed: (k + 92) / 100}, got)
	}
}

// F9, F6
func forkEarly(x *fixture) {
	n := x.node(nil)
	gate := make(chan struct{})
	f := newFamily(n, func(_ context.Context, i int) (saga.Step, error) {
		if i >= 2 {
			<-gate
			return saga.Return(i * i), nil
		}
		return nil, saga.Permanent(errors.New("no"))
	}, func(c saga.Condition) saga.Condition { return c.OrFailed(2) })
	n.run()
	r := start(n, f.start, 5)
	require.Equal(x, summary{Total: 5, Failed: 2}, result[summary](x, r))
	close(gate)
}

// F9, F1, M4
func forkCrash(x *fixture) {
	n := x.node(nil)
	task, child := saga.NewTask[int]("svc/task"), saga.NewTask[int]("svc/child")
	entered, gate := make(chan struct{}), make(chan struct{})
	var children atomic.Int64
	bind := func(n *node, fork func(func(int) bool)) {
		saga.Handle(n, task, func(context.Context, int) (saga.Step, error) {
			return saga.Do(saga.ForkSeq(child, fork), saga.Finish("done")), nil
		})
		saga.Handle(n, child, func(context.Context, int) (saga.Step, error) { children.Add(1); return nil, nil })
	}
	bind(n, func(yield func(int) bool) {
		for i := range 3000 {
			if !yield(i) {
				return
			}
		}
		close(entered)
		<-gate
	})
	n.run()
	r := start(n, task, 1)
	get(x, entered)
	require.Len(x, rows[step.ChunkRow](x, store.Chunk), 5)
	n.cut.Store(true)
	x.closeWorkers()
	close(gate)
	n.stop()
	again := x.node(nil)
	bind(again, seq(10)) // it decides otherwise now
	again.run()
	require.Equal(x, "done", result[string](x, find(again, r)))
	again.stop()
	require.Empty(x, rows[step.ChunkRow](x, store.Chunk))
	require.Zero(x, children.Load())
}

// F9
func forkGoesOn(x *fixture) {
	n := x.node(func(c *router.Config) { c.Concurrency = 8 })
	entered, gate := make(chan struct{}, 10_000), make(chan struct{})
	newFamily(n, func(context.Context, int) (saga.Step, error) { entered <- struct{}{}; <-gate; return nil, nil }, nil)
	n.run()
	r := start(n, saga.NewTask[int]("fam/start"), 3000)
	get(x, entered)
	n.cut.Store(true)
	x.closeWorkers()
	close(gate)
	n.stop()
	again := x.node(nil)
	newFamily(again, func(_ context.Context, i int) (saga.Step, error) { return saga.Return(i * i), nil }, nil)
	again.run()
	require.Equal(x, 3000, result[summary](x, find(again, r)).Done)
}

// F10, F8
func otherService(x *fixture) {
	shop, bank := x.node(nil), x.node(nil)
	order, charge := saga.NewTask[int]("shop/order"), saga.NewTask[int]("bank/charge")
	ship := saga.NewTask[saga.Joined[int]]("shop/ship")
	paid := saga.NewEvent[int]("paid")
	saga.Handle(shop, order, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Do(saga.Send(charge, v), saga.Join(saga.All(paid), ship, v)), nil
	})
	saga.Handle(shop, ship, func(ctx context.Context, j saga.Joined[int]) (saga.Step, error) {
		v, _, _, err := paid.From(ctx, j.Events)
		return saga.Finish(v), err
	})
	saga.Handle(bank, charge, func(ctx context.Context, v int) (saga.Step, error) { return saga.Emit(paid, v+1), nil })
	shop.run()
	bank.run()
	require.Equal(x, 42, result[int](x, start(shop, order, 41)))
}
