package sagatest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

var joinChecks = []check{
	{"a join fires once, whoever emits at once", joinOnce},
	{"events are latched", latched},
	{"OnlyAfter counts what comes after", onlyAfter},
	{"an event counts once, with its first data", countsOnce},
	{"all, any, and some of the events", modes},
	{"large events are handed over by reference", byReference},
	{"a deadline fires the alternative once", deadline},
	{"a deadline that comes after the join has no effect", deadlineLate},
	{"a join and its deadline at once: one of them", deadlineRace},
	{"a join can be cancelled", joinCancelled},
}

func event(i int) saga.Event[int] { return saga.NewEvent[int](fmt.Sprintf("e%d", i)) }

func events(n int) (list []saga.Named) {
	for i := range n {
		list = append(list, event(i))
	}
	return list
}

// joinOnce emits from several processes at once, each event twice.
//
// F2, F4, F5
func joinOnce(x *fixture) {
	const runs, branches = 40, 6
	begin, emit := saga.NewTask[int]("svc/begin"), saga.NewTask[int]("svc/emit")
	end := saga.NewTask[saga.Joined[int]]("svc/end")
	var fired atomic.Int64
	var nodes []*node
	for range 3 {
		n := x.node(func(c *router.Config) { c.Poll, c.Concurrency, c.Hold = time.Millisecond, 8, 8 })
		saga.Handle(n, begin, func(_ context.Context, v int) (saga.Step, error) {
			s := []saga.Step{saga.Join(saga.All(events(branches)...), end, v)}
			for i := range 2 * branches {
				s = append(s, saga.Send(emit, i%branches))
			}
			return saga.Do(s...), nil
		})
		saga.Handle(n, emit, func(_ context.Context, i int) (saga.Step, error) { return saga.Emit(event(i), i), nil })
		saga.Handle(n, end, func(ctx context.Context, j saga.Joined[int]) (saga.Step, error) {
			fired.Add(1)
			for i := range branches {
				if v, _, ok, err := event(i).From(ctx, j.Events); v != i || !ok || err != nil {
					return saga.Fail(fmt.Sprint("event ", i, " is ", v, ok, err)), nil
				}
			}
			return saga.Finish(j.Data), nil
		})
		nodes = append(nodes, n.run())
	}
	var all []saga.Run
	for i := range runs {
		all = append(all, start(nodes[i%3], begin, i))
	}
	for i, r := range all {
		require.Equal(x, i, result[int](x, r))
	}
	require.Equal(x, int64(runs), fired.Load())
}

// F3, F5: emitted in one step, joined in a later one.
func latched(x *fixture) {
	n := x.node(nil)
	a, b := saga.NewTask[int]("svc/a"), saga.NewTask[int]("svc/b")
	end := saga.NewTask[saga.Joined[string]]("svc/end")
	one, two := saga.NewEvent[string]("one"), saga.NewEvent[string]("two")
	saga.Handle(n, a, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Do(saga.Emit(two, "2"), saga.Emit(one, "1"), saga.Send(b, v)), nil
	})
	saga.Handle(n, b, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Join(saga.All(one, two), end, "own"), nil
	})
	saga.Handle(n, end, func(ctx context.Context, j saga.Joined[string]) (saga.Step, error) {
		v1, at1, _, _ := one.From(ctx, j.Events)
		v2, at2, _, _ := two.From(ctx, j.Events)
		ok := !at1.IsZero() && !at2.IsZero() && !j.Late
		return saga.Finish([]any{j.Data, j.Events.Names(), v1, v2, ok}), nil
	})
	n.run()
	require.Equal(x, []any{"own", []any{"one", "two"}, "1", "2", true}, result[[]any](x, start(n, a, 1)),
		"in the order of the join, not of the emits")
}

// F3
func onlyAfter(x *fixture) {
	n := x.node(nil)
	a, b := saga.NewTask[int]("svc/a"), saga.NewTask[int]("svc/b")
	end := saga.NewTask[saga.Joined[int]]("svc/end")
	ev := saga.NewEvent[int]("ev")
	saga.Handle(n, a, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Do(saga.Emit(ev, 1), saga.Send(b, v)), nil
	})
	again := make(chan struct{})
	c := saga.NewTask[int]("svc/c")
	saga.Handle(n, b, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Do(saga.Join(saga.All(ev), end, v).OnlyAfter(), saga.Send(c, v)), nil
	})
	saga.Handle(n, c, func(_ context.Context, v int) (saga.Step, error) { <-again; return saga.Emit(ev, 2), nil })
	saga.Handle(n, end, func(ctx context.Context, j saga.Joined[int]) (saga.Step, error) {
		v, _, _, err := ev.From(ctx, j.Events)
		return saga.Finish(v), err
	})
	n.run()
	r := start(n, a, 1)
	x.until("the join is open", func() bool { return len(rows[step.JoinRow](x, store.Join)) == 1 })
	close(again)
	require.Equal(x, 2, result[int](x, r))
}

// F4
func countsOnce(x *fixture) {
	n := x.node(nil)
	a, b := saga.NewTask[int]("svc/a"), saga.NewTask[int]("svc/b")
	end := saga.NewTask[saga.Joined[int]]("svc/end")
	one, two := saga.NewEvent[string]("one"), saga.NewEvent[string]("two")
	later := saga.NewTask[saga.Joined[int]]("svc/later")
	gate := make(chan struct{})
	saga.Handle(n, later, func(ctx context.Context, j saga.Joined[int]) (saga.Step, error) {
		v, _, _, err := one.From(ctx, j.Events)
		return saga.Do(saga.Emit(two, "2"), saga.Record("later", v)), err
	})
	saga.Handle(n, a, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Do(saga.Join(saga.Some(2, one, two), end, v), saga.Emit(one, "first"), saga.Emit(one, "second"), saga.Send(b, v)), nil
	})
	saga.Handle(n, b, func(_ context.Context, v int) (saga.Step, error) {
		<-gate
		return saga.Do(saga.Emit(one, "third"), saga.Join(saga.All(one), later, v)), nil
	})
	saga.Handle(n, end, func(ctx context.Context, j saga.Joined[int]) (saga.Step, error) {
		v, _, _, err := one.From(ctx, j.Events)
		return saga.Finish(v), err
	})
	n.run()
	r := start(n, a, 1)
	x.until("emitted twice", func() bool { return x.row(r).Entries >= 2 })
	require.Len(x, rows[step.JoinRow](x, store.Join), 1, "a second one does not stand in for two")
	close(gate)
	require.Equal(x, "first", result[string](x, r))
	var kept []string
	for _, e := range x.history(r) {
		for _, note := range e.Records {
			kept = append(kept, string(note.Data))
		}
	}
	require.Equal(x, []string{`"second"`, `"third"`, `"first"`}, kept, "a later join gets the first one too")
}

// F6
func modes(x *fixture) {
	n := x.node(nil)
	a, b := saga.NewTask[int]("svc/a"), saga.NewTask[int]("svc/b")
	end := saga.NewTask[saga.Joined[string]]("svc/end")
	var fired log[string]
	saga.Handle(n, a, func(_ context.Context, k int) (saga.Step, error) {
		return saga.Do(
			saga.Join(saga.All(events(3)...), end, "all"), saga.Join(saga.Any(events(3)...), end, "any"),
			saga.Join(saga.Some(2, events(3)...), end, "two"), saga.Send(b, k)), nil
	})
	saga.Handle(n, b, func(_ context.Context, k int) (saga.Step, error) {
		s := saga.Do(saga.Emit(event(2-k), k), saga.Record("emitted", k))
		if k < 2 {
			s = saga.Do(s, saga.Send(b, k+1))
		}
		return s, nil
	})
	saga.Handle(n, end, func(_ context.Context, j saga.Joined[string]) (saga.Step, error) {
		fired.add(j.Data + " " + strings.Join(j.Events.Names(), ","))
		return nil, nil
	})
	n.run()
	r := start(n, a, 0)
	require.NoError(x, r.Result(x.ctx, nil))
	require.ElementsMatch(x, []string{"any e2", "two e1,e2", "all e0,e1,e2"}, fired.all())
}

// F5
func byReference(x *fixture) {
	n := x.node(func(c *router.Config) { c.PayloadLimit = 1000 })
	a := saga.NewTask[int]("svc/a")
	end := saga.NewTask[saga.Joined[string]]("svc/end")
	one, two, three := saga.NewEvent[string]("one"), saga.NewEvent[string]("two"), saga.NewEvent[string]("three")
	data := func(s string) string { return strings.Repeat(s, 450) }
	saga.Handle(n, a, func(context.Context, int) (saga.Step, error) {
		return saga.Do(saga.Emit(one, data("1")), saga.Join(saga.All(one, two, three), end, data("0")),
			saga.Emit(two, data("2")), saga.Emit(three, data("3"))), nil
	})
	saga.Handle(n, end, func(ctx context.Context, j saga.Joined[string]) (saga.Step, error) {
		sum := j.Data[:1]
		for _, ev := range []saga.Event[string]{one, two, three} {
			v, _, ok, err := ev.From(ctx, j.Events)
			if err != nil || !ok || len(v) != 450 {
				return saga.Fail(fmt.Sprint(ev.Name(), len(v), ok, err)), nil
			}
			sum += v[:1]
		}
		return saga.Finish(sum), nil
	})
	n.run()
	require.Equal(x, "0123", result[string](x, start(n, a, 1)))
}

// waiting is a run that waits for two events, for three days at most.
func waiting(n *node, fired *log[string]) (begin, emit saga.Task[int]) {
	begin, emit = saga.NewTask[int]("svc/begin"), saga.NewTask[int]("svc/emit")
	end, late := saga.NewTask[saga.Joined[int]]("svc/end"), saga.NewTask[saga.Joined[int]]("svc/late")
	saga.Handle(n, begin, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Do(saga.Emit(event(1), 11), saga.Join(saga.All(event(0), event(1)), end, v).Within(72*time.Hour, late),
			saga.Send(emit, 0).After(time.Duration(v)*time.Hour)), nil
	})
	saga.Handle(n, emit, func(_ context.Context, i int) (saga.Step, error) { return saga.Emit(event(i), 10), nil })
	note := func(name string) saga.Handler[saga.Joined[int]] {
		return func(ctx context.Context, j saga.Joined[int]) (saga.Step, error) {
			v, _, _, _ := event(1).From(ctx, j.Events)
			fired.add(fmt.Sprint(name, " ", j.Late, " ", j.Data, " ", j.Events.Names(), " ", v))
			return nil, nil
		}
	}
	saga.Handle(n, end, note("end"))
	saga.Handle(n, late, note("late"))
	return begin, emit
}

// F7, T4
func deadline(x *fixture) {
	x.fake()
	n := x.node(nil)
	var fired log[string]
	begin, _ := waiting(n, &fired)
	n.run()
	r := start(n, begin, 100)
	x.until("begun", func() bool { return len(rows[step.JoinRow](x, store.Join)) == 1 })
	x.pass(72*time.Hour - time.Second)
	n.looks(3)
	require.Empty(x, fired.all())
	x.pass(time.Second)
	x.until("deadline", func() bool { return len(fired.all()) == 1 })
	x.pass(28 * time.Hour)
	x.pass(time.Second)
	require.NoError(x, r.Result(x.ctx, nil))
	require.Equal(x, []string{"late true 100 [e1] 11"}, fired.all())
}

// F7
func deadlineLate(x *fixture) {
	x.fake()
	n := x.node(nil)
	var fired log[string]
	begin, _ := waiting(n, &fired)
	n.run()
	r := start(n, begin, 1)
	x.until("begun", func() bool { return len(rows[step.JoinRow](x, store.Join)) == 1 })
	x.pass(time.Hour)
	x.until("joined", func() bool { return len(fired.all()) == 1 })
	x.pass(100 * time.Hour)
	n.looks(3)
	require.NoError(x, r.Result(x.ctx, nil))
	require.Equal(x, []string{"end false 1 [e0 e1] 11"}, fired.all())
	require.Empty(x, x.messages(), "the deadline is gone with its join")
}

// F7, F2: both fall due in the same instant, in many runs.
func deadlineRace(x *fixture) {
	x.fake()
	n, other := x.node(nil), x.node(nil)
	var fired log[string]
	begin, _ := waiting(n, &fired)
	waiting(other, &fired)
	n.run()
	other.run()
	var all []saga.Run
	for range 50 {
		all = append(all, start(n, begin, 72))
	}
	x.until("begun", func() bool { return len(rows[step.JoinRow](x, store.Join)) == len(all) })
	x.pass(72 * time.Hour)
	for _, r := range all {
		for !x.row(r).Status.Closed() {
			require.NoError(x, x.ctx.Err())
			x.pass(time.Second)
		}
	}
	require.Len(x, fired.all(), len(all))
}

// F7, N2
func joinCancelled(x *fixture) {
	n := x.node(nil)
	a, b := saga.NewTask[int]("svc/a"), saga.NewTask[int]("svc/b")
	end := saga.NewTask[saga.Joined[int]]("svc/end")
	saga.Handle(n, a, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Do(saga.Join(saga.All(event(0)), end, v).Named("j").Within(time.Hour, end), saga.Send(b, v)), nil
	})
	var fired atomic.Int64
	saga.Handle(n, b, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Do(saga.Cancel("j"), saga.Emit(event(0), 1)), nil
	})
	saga.Handle(n, end, func(context.Context, saga.Joined[int]) (saga.Step, error) { fired.Add(1); return nil, nil })
	n.run()
	r := start(n, a, 1)
	require.NoError(x, r.Result(x.ctx, nil))
	require.Zero(x, fired.Load())
	require.Empty(x, x.messages())
}
