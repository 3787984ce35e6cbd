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
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/storetest"
)

var outageChecks = []check{
	{"whichever call of the store fails, all is done once and nothing is stranded", everyCall},
	{"a store that fails often loses nothing", flaky},
	{"an outage is no attempt", outageIsNoAttempt},
	{"a store that is gone does not keep a process from stopping", stopsWithoutStore},
}

// faulty puts a store that fails by plan below the next nodes.
func (x *fixture) faulty(plan func(storetest.Call) storetest.Fault) {
	x.wrap = func(s store.Store) store.Store {
		if db, ok := s.(store.SQL); ok {
			return storetest.NewFaultySQL(db, plan)
		}
		return storetest.NewFaulty(s, plan)
	}
}

// workload is a small program in which everything occurs.
type workload struct {
	x     *fixture
	begin saga.Task[string]
}

func newWorkload(x *fixture, n *node, account string) *workload {
	w := &workload{x: x, begin: saga.NewTask[string]("w/begin")}
	leaf, fails, undo, timer := saga.NewTask[int]("w/leaf"), saga.NewTask[string]("w/fails"), saga.NewTask[string]("w/undo"), saga.NewTask[int]("w/timer")
	joined, end := saga.NewTask[saga.Joined[int]]("w/joined"), saga.NewTask[saga.Joined[int]]("w/end")
	forked, evented, timed := saga.NewEvent[int]("forked"), saga.NewEvent[int]("evented"), saga.NewEvent[int]("timed")
	b := newBank(x, account)
	b.bind(n)
	saga.Handle(n, w.begin, func(_ context.Context, s string) (saga.Step, error) {
		if s == "fails" {
			return saga.Do(saga.Undo(undo, s), saga.Send(fails, s)), nil
		}
		f := saga.Fork(leaf, 1, 2, 3)
		return saga.Do(f, saga.Join(saga.AllOf(f), joined, 0), saga.Emit(evented, 1), saga.Send(timer, 1).After(3*time.Millisecond),
			saga.Join(saga.All(forked, evented, timed), end, 7).Within(time.Hour, end),
			saga.Send(b.add, deposit{account, 5}).Away(), saga.Send(b.open, deposit{account, 1}).Away()), nil
	})
	saga.Handle(n, leaf, func(ctx context.Context, v int) (saga.Step, error) {
		if v == 2 && saga.Attempt(ctx) < 3 {
			return nil, fmt.Errorf("attempt %d", saga.Attempt(ctx))
		}
		return saga.Return(v * v), nil
	})
	saga.Handle(n, timer, func(context.Context, int) (saga.Step, error) { return saga.Emit(timed, 1), nil })
	saga.Handle(n, joined, func(ctx context.Context, j saga.Joined[int]) (saga.Step, error) {
		sum := 0
		for o, err := range saga.Results[int](ctx, j) {
			if err != nil {
				return nil, err // the store's: no attempt
			}
			sum += o.Value
		}
		return saga.Emit(forked, sum), nil
	})
	saga.Handle(n, end, func(ctx context.Context, j saga.Joined[int]) (saga.Step, error) {
		v, _, _, err := forked.From(ctx, j.Events)
		return saga.Finish(v), err
	})
	saga.Handle(n, fails, func(context.Context, string) (saga.Step, error) { return saga.Fail("as planned"), nil })
	saga.Handle(n, undo, func(context.Context, string) (saga.Step, error) { return saga.Record("undone", 1), nil })
	return w
}

// check starts the workload's runs and verifies their ends. tag is the account.
func (w *workload) check(n *node, tag string) {
	x := w.x
	x.Helper()
	good := start(n, w.begin, "good", saga.ID("good "+tag))
	bad := start(n, w.begin, "fails", saga.ID("fails "+tag))
	require.Equal(x, 14, result[int](x, good), tag)
	require.ErrorContains(x, bad.Result(x.ctx, nil), "as planned", tag)
	x.until(tag+": all have ended", func() bool { return len(x.messages()) == 0 })
	joins := 0
	for _, e := range x.history(good) {
		joins += len(e.Fired)
	}
	require.Equal(x, 2, joins, "%s: each join fires once", tag)
	undone := 0
	for _, e := range x.history(bad) {
		undone += len(e.Records)
	}
	require.Equal(x, 1, undone, tag)
	require.JSONEq(x, `{"Sum": 6, "Count": 2}`, string(x.row(saga.Run{ID: "bank/account/" + tag}).State), tag)
	require.Empty(x, x.letters(), tag)
	for _, e := range append(x.history(good), x.history(bad)...) {
		require.False(x, e.Kind == "attempt" && e.Task != "w/leaf",
			"%s: an attempt of %s: %s", tag, e.Task, e.Error)
	}
}

// everyCall fails each of the store's calls once: before it took effect,
// after it, or with an answer that says nothing. Nothing waits for a safety net
// of minutes.
//
// R5, M2, F2
func everyCall(x *fixture) {
	x.eachFault(x.pair.Store == "memory", x.withFault)
}

// eachFault fails one call after the other, until none is left; in all ways
// where that costs little, or else in each way by turns.
func (x *fixture) eachFault(inAllWays bool, fail func(at int, fault storetest.Fault) (came bool)) {
	ways := []storetest.Fault{storetest.Before, storetest.After, storetest.Lost}
	at := 1
	if !inAllWays {
		for ; fail(at, ways[at%len(ways)]); at++ {
		}
	} else {
		for _, fault := range ways {
			for at = 1; fail(at, fault); at++ {
			}
		}
	}
	x.Logf("failed %d calls", at)
}

// unhurried makes a process look for work seldom where that costs much: each
// look is a call that could fail.
func (x *fixture) unhurried(c *router.Config) {
	c.Lease, c.Poll = 500*time.Millisecond, 5*time.Millisecond
	if x.pair.Store != "memory" && x.pair.Store != "sqlite" {
		c.Poll = 100 * time.Millisecond
	}
}

// withFault runs the workload with a process of its own, and reports whether
// the call, counted from when that is a worker, came before the end.
func (x *fixture) withFault(at int, fault storetest.Fault) (came bool) {
	y, tag := fixtureAt(x.T, x.pair, x.place), fmt.Sprintf("fault %d at call %d", fault, at)
	calls := y.faultAt(at, fault)
	n := y.node(y.unhurried)
	w := newWorkload(y, n, tag)
	n.run()
	calls.armed.Store(true)
	w.check(n, tag)
	needed := calls.n.Load()
	calls.armed.Store(false)
	y.end()
	return needed >= int64(at)
}

// counted are the calls of a store since it was armed.
type counted struct {
	armed atomic.Bool
	n     atomic.Int64
}

// faultAt fails one call of the next node's store, counted from when it is
// armed.
func (x *fixture) faultAt(at int, fault storetest.Fault) *counted {
	c := new(counted)
	x.faulty(func(storetest.Call) storetest.Fault {
		if c.armed.Load() && c.n.Add(1) == int64(at) {
			return fault
		}
		return storetest.None
	})
	return c
}

// R5, R2
func outageIsNoAttempt(x *fixture) {
	var down atomic.Bool
	x.faulty(func(storetest.Call) storetest.Fault {
		if down.Load() {
			return storetest.Before
		}
		return storetest.None
	})
	n := x.node(nil)
	task, child := saga.NewTask[int]("svc/task"), saga.NewTask[int]("svc/child")
	entered, gate := make(chan int, 9), make(chan struct{})
	saga.Handle(n, task, func(ctx context.Context, v int) (saga.Step, error) {
		entered <- saga.Attempt(ctx)
		<-gate
		return saga.Send(child, v), nil
	})
	saga.Handle(n, child, func(ctx context.Context, v int) (saga.Step, error) { return saga.Finish(saga.Attempt(ctx)), nil })
	n.run()
	r := start(n, task, 1)
	get(x, entered)
	down.Store(true)
	close(gate)
	n.looks(4)
	require.Equal(x, store.Running, x.row(r).Status)
	brief, cancel := context.WithTimeout(x.ctx, 50*time.Millisecond)
	defer cancel()
	_, err := saga.Start(brief, n.Router, task, 2, saga.ID("during"))
	require.ErrorIs(x, err, store.ErrUnavailable)
	down.Store(false)
	require.Equal(x, 1, result[int](x, r))
	require.Empty(x, entered, "it is not run again")
	require.Equal(x, 1, result[int](x, start(n, task, 2, saga.ID("during"))))
	for _, e := range x.history(r) {
		require.NotEqual(x, "attempt", e.Kind)
	}
}

// R5
func flaky(x *fixture) {
	var calls atomic.Int64
	x.faulty(func(c storetest.Call) storetest.Fault {
		switch n := calls.Add(1); {
		case n < 5:
			return storetest.None
		case n%7 == 0:
			return storetest.Before
		case n%11 == 0:
			return storetest.After
		case n%13 == 0:
			return storetest.Lost
		}
		return storetest.None
	})
	n := x.node(func(c *router.Config) { c.Poll = 5 * time.Millisecond })
	f := newFamily(n, func(ctx context.Context, i int) (saga.Step, error) {
		if i%5 == 0 && saga.Attempt(ctx) == 1 {
			return nil, errors.New("again")
		}
		return saga.Return(i * i), nil
	}, nil)
	n.run()
	for range 5 {
		r := start(n, f.start, 60)
		require.Equal(x, 60, result[summary](x, r).Done)
		done := 0
		for _, e := range x.history(r) {
			if e.Kind == "step" && e.Task == "fam/child" {
				done++
			}
		}
		require.Equal(x, 60, done)
	}
}

// L1, R5
func stopsWithoutStore(x *fixture) {
	x.loose = true
	var down atomic.Bool
	x.faulty(func(storetest.Call) storetest.Fault {
		if down.Load() {
			return storetest.Before
		}
		return storetest.None
	})
	n := x.node(func(c *router.Config) { c.Drain = 100 * time.Millisecond; c.Concurrency = 1 })
	task := saga.NewTask[int]("svc/task")
	entered, gate := make(chan struct{}, 9), make(chan struct{})
	saga.Handle(n, task, func(context.Context, int) (saga.Step, error) { entered <- struct{}{}; <-gate; return nil, nil })
	n.run()
	require.NoError(x, saga.Enqueue(x.ctx, n.Router, "", task, 1, 2, 3))
	get(x, entered)
	down.Store(true)
	close(gate)
	stopped := make(chan struct{})
	go func() { defer close(stopped); n.cut.Store(true); n.stop() }()
	get(x, stopped)
}
