package sagatest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/doctor"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

var endChecks = []check{
	{"Finish drops what is open, and ends what runs", finishDrops},
	{"a run with nothing open is finished", finishesByItself},
	{"a run that waits in vain is stalled", stalls},
	{"a run is cancelled, or failed, from outside", abort},
	{"a run's result and status can be asked for at any time", asked},
}

// N1
func finishDrops(x *fixture) {
	n := x.node(nil)
	begin, slow, never := saga.NewTask[int]("svc/begin"), saga.NewTask[int]("svc/slow"), saga.NewTask[int]("svc/never")
	finish, end := saga.NewTask[int]("svc/finish"), saga.NewTask[saga.Joined[int]]("svc/end")
	entered, gate := make(chan struct{}), make(chan struct{})
	saga.Handle(n, begin, func(context.Context, int) (saga.Step, error) {
		s := []saga.Step{saga.Join(saga.All(event(0)), end, 1).Named("join"), saga.Join(saga.All(event(0)), end, 1).Within(time.Hour, end),
			saga.Join(saga.All(event(0)), end, 1).In("wide"), saga.Send(slow, 1), saga.Send(finish, 1)}
		for range 300 { // more than one piece of a sweep
			s = append(s, saga.Send(never, 1).After(time.Hour))
		}
		return saga.Do(s...), nil
	})
	saga.Handle(n, slow, func(context.Context, int) (saga.Step, error) {
		close(entered)
		<-gate
		return saga.Do(saga.Send(never, 1), saga.Emit(event(0), 1), saga.Finish("late")), nil
	})
	saga.Handle(n, finish, func(context.Context, int) (saga.Step, error) { <-entered; return saga.Finish("result"), nil })
	saga.Handle(n, never, func(context.Context, int) (saga.Step, error) { x.Error("dropped"); return nil, nil })
	saga.Handle(n, end, func(context.Context, saga.Joined[int]) (saga.Step, error) { x.Error("dropped"); return nil, nil })
	n.run()
	r := start(n, begin, 1)
	require.Equal(x, "result", result[string](x, r))
	x.until("only the slow step is open", func() bool {
		return x.row(r).Open == 1 && x.counters().Cancelled >= 301
	})
	close(gate)
	x.until("it has ended", func() bool { return x.row(r).Open == 0 })
	require.Equal(x, "result", result[string](x, r))
	var dropped, more int
	late := false
	for _, e := range x.history(r) {
		dropped += len(e.Dropped)
		more += e.More
		late = late || e.Kind == "late"
	}
	require.True(x, late, "recorded without effects")
	require.Positive(x, dropped)
	require.GreaterOrEqual(x, dropped+more, 303, "listed in the history, or counted there")
	for _, e := range rows[step.EventRow](x, store.Event) {
		require.False(x, e.Set)
	}
}

// N2
func finishesByItself(x *fixture) {
	n := x.node(nil)
	a, b := saga.NewTask[int]("svc/a"), saga.NewTask[int]("svc/b")
	saga.Handle(n, a, func(context.Context, int) (saga.Step, error) {
		return saga.Do(saga.Send(b, 1), saga.Send(b, 2).After(20*time.Millisecond), saga.Send(b, 3).Away()), nil
	})
	saga.Handle(n, b, func(context.Context, int) (saga.Step, error) { return nil, nil })
	n.run()
	r := start(n, a, 1)
	require.NoError(x, r.Result(x.ctx, nil))
	require.Equal(x, store.Finished, x.row(r).Status)
	require.NotZero(x, x.row(r).Ended)
}

// N2: told by doctor, and none any more once something is open.
func stalls(x *fixture) {
	n := x.node(nil)
	begin := saga.NewTask[int]("svc/begin")
	end := saga.NewTask[saga.Joined[int]]("svc/end")
	saga.Handle(n, begin, func(_ context.Context, v int) (saga.Step, error) {
		j := saga.Join(saga.All(event(0)), end, v)
		if v == 1 {
			j = j.Within(time.Hour, end)
		}
		return j, nil
	})
	saga.Handle(n, end, func(context.Context, saga.Joined[int]) (saga.Step, error) { return nil, nil })
	n.run()
	r, timed := start(n, begin, 0), start(n, begin, 1)
	x.status(r, store.Stalled)
	x.until("begun", func() bool { return x.row(timed).Entries == 2 })
	require.Equal(x, store.Running, x.row(timed).Status, "it has a deadline")
	report, err := doctor.Examine(x.ctx, x.look(), doctor.Options{Looks: 1})
	require.NoError(x, err)
	require.True(x, slices.ContainsFunc(report.Findings, func(f doctor.Finding) bool {
		return f.Kind == doctor.Stalled && f.Run == r.ID
	}))
	require.NoError(x, r.Cancel(x.ctx, "in vain"))
	require.ErrorIs(x, r.Result(x.ctx, nil), saga.ErrCancelled)
}

// N3
func abort(x *fixture) {
	n := x.node(nil)
	begin, undo := saga.NewTask[int]("svc/begin"), saga.NewTask[int]("svc/undo")
	later := saga.NewTask[int]("svc/later")
	undone := make(chan int, 9)
	saga.Handle(n, begin, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Do(saga.Undo(undo, v), saga.Send(later, v).After(time.Hour)), nil
	})
	saga.Handle(n, later, func(context.Context, int) (saga.Step, error) { return nil, nil })
	saga.Handle(n, undo, func(_ context.Context, v int) (saga.Step, error) { undone <- v; return nil, nil })
	n.run()
	cancelled, failed := start(n, begin, 1), start(n, begin, 2)
	for i, r := range []saga.Run{cancelled, failed} {
		x.until("begun", func() bool { return x.row(r).Entries == 2 })
		if i == 0 {
			require.NoError(x, r.Cancel(x.ctx, "changed my mind"))
			require.NoError(x, r.Cancel(x.ctx, "again"))
		} else {
			require.NoError(x, r.Fail(x.ctx, "seen from outside"))
		}
	}
	err := cancelled.Result(x.ctx, nil)
	require.ErrorIs(x, err, saga.ErrCancelled)
	require.ErrorContains(x, err, "changed my mind")
	err = failed.Result(x.ctx, nil)
	require.ErrorIs(x, err, saga.ErrFailed)
	require.ErrorContains(x, err, "seen from outside")
	require.ElementsMatch(x, []int{1, 2}, []int{get(x, undone), get(x, undone)})
	require.Equal(x, store.Cancelled, x.row(cancelled).Status)
}

// N4
func asked(x *fixture) {
	n, other := x.node(func(c *router.Config) { c.Poll = time.Hour }), x.node(nil)
	task := saga.NewTask[int]("svc/task")
	entered, gate := make(chan struct{}), make(chan struct{})
	saga.Handle(n, task, func(context.Context, int) (saga.Step, error) { close(entered); <-gate; return saga.Finish(7), nil })
	n.run()
	r := start(n, task, 1)
	get(x, entered)
	st, err := r.Status(x.ctx)
	require.NoError(x, err)
	require.Equal(x, store.Running, st.Status)
	require.Equal(x, 1, st.Open)
	brief, cancel := context.WithCancel(x.ctx)
	cancel()
	require.ErrorIs(x, r.Result(brief, nil), context.Canceled)
	results := make(chan int, 20)
	for i := range 20 {
		h := r
		if i%2 == 1 {
			h = find(other, r) // of another process
		}
		go func() {
			var v int
			if err := h.Result(x.ctx, &v); err != nil && !errors.Is(err, context.Canceled) {
				x.Error(err)
			}
			results <- v
		}()
	}
	close(gate)
	for range 20 {
		require.Equal(x, 7, get(x, results))
	}
	_, err = saga.Find(x.ctx, n.Router, "nobody")
	require.ErrorIs(x, err, saga.ErrNotFound)
}
