package sagatest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

var timeChecks = []check{
	{"a message is delivered at its time, and once", dueTimes},
	{"a timer survives the process that set it", timerSurvives},
	{"a named timer is cancelled, or moved", namedTimers},
	{"a timer that was claimed is neither cancelled nor moved", timerTooLate},
	{"a worker's wrong clock changes nothing", wrongClock},
	{"a worker's wrong clock steals no lease", wrongClockLease},
}

// dated is a task whose handler tells when it was run.
func dated(x *fixture, n *node, name string) (saga.Task[string], chan string) {
	t, ran := saga.NewTask[string](name), make(chan string, 100)
	saga.Handle(n, t, func(_ context.Context, v string) (saga.Step, error) {
		ran <- v + " " + x.now().Format("01-02 15:04:05")
		return nil, nil
	})
	return t, ran
}

// T1, T4: a second, a day, a year.
func dueTimes(x *fixture) {
	x.fake()
	n := x.node(nil)
	begin := saga.NewTask[int]("svc/begin")
	at, ran := dated(x, n, "svc/at")
	saga.Handle(n, begin, func(context.Context, int) (saga.Step, error) {
		return saga.Do(
			saga.Send(at, "year").At(x.now().Add(365*24*time.Hour)), saga.Send(at, "second").After(time.Second),
			saga.Send(at, "day").After(24*time.Hour), saga.Send(at, "past").At(x.now().Add(-time.Hour))), nil
	})
	n.run()
	r := start(n, begin, 1)
	require.Equal(x, "past 03-14 09:26:53", get(x, ran))
	x.pass(500 * time.Millisecond)
	n.looks(2)
	require.Empty(x, ran)
	x.pass(500 * time.Millisecond)
	require.Equal(x, "second 03-14 09:26:54", get(x, ran))
	x.pass(23 * time.Hour)
	n.looks(2)
	require.Empty(x, ran)
	x.pass(time.Hour)
	require.Equal(x, "day 03-15 09:26:54", get(x, ran))
	x.pass(364 * 24 * time.Hour)
	require.Equal(x, "year 03-14 09:26:54", get(x, ran))
	require.NoError(x, r.Result(x.ctx, nil))
	require.Empty(x, ran)
	later := start(n, at, "start", saga.StartAt(x.now().Add(time.Hour)))
	x.pass(59 * time.Minute)
	n.looks(2)
	require.Empty(x, ran)
	x.pass(time.Minute)
	require.NoError(x, later.Result(x.ctx, nil))
}

// T1: whichever process is alive then.
func timerSurvives(x *fixture) {
	x.fake()
	n := x.node(nil)
	begin := saga.NewTask[int]("svc/begin")
	at, _ := dated(x, n, "svc/at")
	saga.Handle(n, begin, func(context.Context, int) (saga.Step, error) { return saga.Send(at, "day").After(24 * time.Hour), nil })
	n.run()
	r := start(n, begin, 1)
	x.until("the timer is set", func() bool { return x.row(r).Entries == 2 })
	n.crash()
	x.clock.Advance(12 * time.Hour)
	again := x.node(nil)
	_, ran := dated(x, again, "svc/at")
	again.run()
	x.pass(12*time.Hour - time.Second)
	again.looks(2)
	require.Empty(x, ran)
	x.pass(time.Second)
	require.Equal(x, "day 03-15 09:26:53", get(x, ran))
	require.NoError(x, find(again, r).Result(x.ctx, nil))
	require.Empty(x, ran)
}

// T2
func namedTimers(x *fixture) {
	x.fake()
	n := x.node(nil)
	begin, change := saga.NewTask[int]("svc/begin"), saga.NewTask[int]("svc/change")
	at, ran := dated(x, n, "svc/at")
	saga.Handle(n, begin, func(context.Context, int) (saga.Step, error) {
		return saga.Do(saga.Send(at, "gone").After(time.Hour).Named("gone"), saga.Send(at, "later").After(time.Hour).Named("later"),
			saga.Send(at, "sooner").After(time.Hour).Named("sooner"), saga.Send(change, 1).After(time.Minute)), nil
	})
	saga.Handle(n, change, func(context.Context, int) (saga.Step, error) {
		return saga.Do(saga.Cancel("gone").Else(saga.Send(at, "wrong")), saga.Move("later", 2*time.Hour).Else(saga.Send(at, "wrong")),
			saga.Move("sooner", time.Minute), saga.Cancel("never there").Else(saga.Send(at, "else"))), nil
	})
	n.run()
	r := start(n, begin, 1)
	x.until("begun", func() bool { return x.row(r).Entries == 2 })
	x.pass(time.Minute)
	require.Equal(x, "else 03-14 09:27:53", get(x, ran))
	x.pass(time.Minute)
	require.Equal(x, "sooner 03-14 09:28:53", get(x, ran))
	x.pass(118 * time.Minute)
	n.looks(2)
	require.Empty(x, ran)
	x.pass(time.Minute)
	require.Equal(x, "later 03-14 11:27:53", get(x, ran))
	require.NoError(x, r.Result(x.ctx, nil))
	var e *step.Entry
	for _, entry := range x.history(r) {
		if entry.Task == change.Name() && entry.Kind == "step" {
			e = &entry
		}
	}
	require.NotNil(x, e)
	require.Equal(x, []string{"gone"}, e.Cancelled)
	require.Equal(x, []string{"later", "sooner"}, e.Moved)
	require.Equal(x, []string{"never there"}, e.Missed)
}

// T2
func timerTooLate(x *fixture) {
	n := x.node(nil)
	begin, timer, change := saga.NewTask[int]("svc/begin"), saga.NewTask[int]("svc/timer"), saga.NewTask[int]("svc/change")
	at, ran := dated(x, n, "svc/at")
	claimed, gate := make(chan struct{}), make(chan struct{})
	saga.Handle(n, begin, func(context.Context, int) (saga.Step, error) {
		return saga.Do(saga.Send(timer, 1).After(time.Millisecond).Named("t"), saga.Send(change, 1)), nil
	})
	saga.Handle(n, timer, func(context.Context, int) (saga.Step, error) {
		close(claimed)
		<-gate
		return saga.Record("the timer", 1), nil
	})
	saga.Handle(n, change, func(context.Context, int) (saga.Step, error) {
		<-claimed
		return saga.Do(saga.Cancel("t").Else(saga.Send(at, "late")), saga.Move("t", time.Hour).Else(saga.Send(at, "late"))), nil
	})
	n.run()
	r := start(n, begin, 1)
	get(x, ran)
	get(x, ran)
	close(gate)
	require.NoError(x, r.Result(x.ctx, nil))
	missed := 0
	for _, e := range x.history(r) {
		missed += len(e.Missed)
	}
	require.Equal(x, 2, missed)
}

// skewed is a clock that is wrong by so much.
type skewed struct {
	clockwork.Clock
	by time.Duration
}

func (c skewed) Now() time.Time                  { return c.Clock.Now().Add(c.by) }
func (c skewed) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c skewed) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }

func wrongBy(d time.Duration) func(*router.Config) {
	return func(c *router.Config) {
		c.Clock, c.Lease = skewed{clockwork.NewRealClock(), d}, 5*lease
	}
}

// wrongClock runs timers, and retries whose attempts are bounded by time, on
// workers whose clocks are wrong.
//
// T3
func wrongClock(x *fixture) {
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		n := x.node(wrongBy(by))
		begin, timer, fails := saga.NewTask[int]("svc/begin"), saga.NewTask[time.Time]("svc/timer"), saga.NewTask[int]("svc/fails")
		saga.Handle(n, begin, func(context.Context, int) (saga.Step, error) {
			due := time.Now().Add(150 * time.Millisecond)
			return saga.Do(saga.Send(timer, due).At(due), saga.Send(timer, due).After(150*time.Millisecond), saga.Send(fails, 1)), nil
		})
		saga.Handle(n, timer, func(_ context.Context, due time.Time) (saga.Step, error) {
			if early := time.Until(due); early > 0 {
				x.Errorf("%v too early on a clock that is wrong by %v", early, by)
			}
			return nil, nil
		})
		saga.Handle(n, fails, func(ctx context.Context, _ int) (saga.Step, error) {
			if saga.Attempt(ctx) <= 2 {
				return nil, errors.New("again")
			}
			return nil, nil
		}, saga.WithPolicy(step.Policy{Delays: []time.Duration{20 * time.Millisecond}, Elapsed: 30 * time.Minute}))
		n.run()
		r := start(n, begin, 1)
		require.NoError(x, r.Result(x.ctx, nil))
		require.Empty(x, rows[step.DeadRow](x, store.Dead))
		n.stop()
	}
}

// T3, M5
func wrongClockLease(x *fixture) {
	right := x.node(wrongBy(0))
	task := saga.NewTask[int]("svc/task")
	entered, gate := make(chan struct{}, 9), make(chan struct{})
	var cancelled atomic.Bool
	nodes := []*node{right, x.node(wrongBy(time.Hour)), x.node(wrongBy(-time.Hour))}
	for _, n := range nodes {
		saga.Handle(n, task, func(ctx context.Context, v int) (saga.Step, error) {
			entered <- struct{}{}
			select {
			case <-gate:
			case <-ctx.Done():
				cancelled.Store(true)
			}
			return saga.Finish(v), nil
		})
	}
	right.run()
	r := start(right, task, 1)
	get(x, entered)
	var keys []int64
	for _, n := range nodes {
		if n != right {
			n.run()
		}
		keys = append(keys, n.key())
	}
	var reaps []int64
	for _, n := range nodes {
		reaps = append(reaps, n.reaps.Load()+8) // longer than a lease: there are three in one
	}
	for i, n := range nodes {
		x.until("all look for dead workers", func() bool { return n.reaps.Load() >= reaps[i] })
	}
	for i, n := range nodes {
		require.Equal(x, keys[i], n.key())
	}
	close(gate)
	require.NoError(x, r.Result(x.ctx, nil))
	require.False(x, cancelled.Load())
	require.Empty(x, entered)
}
