package sagatest

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

var leaseChecks = []check{
	{"a worker that was closed goes on as a new one", leaseLost},
	{"a worker that was closed, and does not know, stores nothing", closedWorker},
	{"an execution from before the lease was lost has no say", staleExecution},
	{"an execution from before the lease was lost can't stage", staleStage},
	{"a paused worker is closed by others, once its lease has ended", pausedWorker},
	{"after an outage nobody is closed before a full lease", afterOutage},
	{"who holds a message is visible", holderVisible},
	{"two processes share the work, and one drains", drainOne},
	{"handlers that do not end in time are run by others", drainTimeout},
	{"what was held and not begun is given back", givesBack},
}

// lease is one that a test can wait for, and that no machine loses by being
// busy with other tests.
const lease = 600 * time.Millisecond

// M5
func leaseLost(x *fixture) {
	n := x.node(func(c *router.Config) { c.Lease = lease })
	task := saga.NewTask[int]("svc/task")
	entered, cancelled := make(chan int, 9), make(chan struct{}, 9)
	var count atomic.Int64
	saga.Handle(n, task, func(ctx context.Context, v int) (saga.Step, error) {
		if count.Add(1) == 1 {
			entered <- v
			<-ctx.Done()
			cancelled <- struct{}{}
			return nil, ctx.Err()
		}
		return saga.Finish(saga.Attempt(ctx)), nil
	})
	n.run()
	r := start(n, task, 1)
	get(x, entered)
	old := x.closeWorker(n)
	get(x, cancelled)
	require.Equal(x, 1, result[int](x, r), "losing the lease is no attempt")
	require.NotEqual(x, old, n.key())
	require.Equal(x, 2, result[int](x, start(n, task, 2))+1)
}

// closedWorker lets the handler of a worker that was closed end while the next
// holder's runs.
//
// M5, M2
func closedWorker(x *fixture) {
	for what, end := range map[string]func() (saga.Step, error){
		"success": func() (saga.Step, error) { return saga.Finish("closed"), nil },
		"failure": func() (saga.Step, error) { return nil, errors.New("closed") },
		"dead":    func() (saga.Step, error) { return nil, saga.Permanent(errors.New("closed")) },
	} {
		closed, other := x.node(nil), x.node(nil)
		task := saga.NewTask[int]("svc/" + what)
		entered, gates := make(chan int, 9), []chan struct{}{make(chan struct{}), make(chan struct{})}
		saga.Handle(closed, task, func(context.Context, int) (saga.Step, error) {
			entered <- 0
			<-gates[0]
			return end()
		})
		saga.Handle(other, task, func(context.Context, int) (saga.Step, error) {
			entered <- 1
			<-gates[1]
			return saga.Finish(what), nil
		})
		closed.run()
		r := start(closed, task, 1)
		require.Equal(x, 0, get(x, entered))
		other.run()
		x.closeWorker(closed)
		require.Equal(x, 1, get(x, entered))
		close(gates[0])
		closed.stop() // it has stored what it could
		row := x.row(r)
		require.Equal(x, store.Running, row.Status, what)
		require.Equal(x, 1, row.Entries, what)
		require.Empty(x, rows[step.AttemptRow](x, store.Attempt), what)
		require.Equal(x, other.key(), x.messages()[0].Worker, "%s: the next holder is not disturbed", what)
		close(gates[1])
		require.Equal(x, what, result[string](x, find(other, r)))
		other.stop()
	}
}

// staleExecution lets the handler of a worker that was closed end after the
// same process, as a new worker, runs the message again.
//
// M5, M2, M3
func staleExecution(x *fixture) {
	for what, end := range map[string]func() (saga.Step, error){
		"success": func() (saga.Step, error) { return saga.Finish("stale"), nil },
		"failure": func() (saga.Step, error) { return nil, errors.New("stale") },
		"dead":    func() (saga.Step, error) { return nil, saga.Permanent(errors.New("stale")) },
	} {
		n := x.node(func(c *router.Config) { c.Lease = lease })
		task := saga.NewTask[int]("svc/" + what)
		entered, gates := make(chan int, 9), []chan struct{}{make(chan struct{}), make(chan struct{}), make(chan struct{})}
		ended := make(chan struct{})
		var count atomic.Int64
		saga.Handle(n, task, func(ctx context.Context, _ int) (saga.Step, error) {
			i := int(count.Add(1)) - 1
			entered <- i
			<-gates[i]
			if i == 0 {
				defer close(ended)
				return end()
			}
			return saga.Finish(what), nil
		})
		n.run()
		r := start(n, task, 1)
		get(x, entered)
		x.closeWorker(n)
		require.Equal(x, 1, get(x, entered), "run again by the new worker")
		close(gates[0])
		get(x, ended)
		n.looks(5)
		require.Empty(x, entered, "%s: while one runs, no other is entered", what)
		require.Equal(x, store.Running, x.row(r).Status, what)
		require.Empty(x, rows[step.AttemptRow](x, store.Attempt), what)
		close(gates[1])
		require.Equal(x, what, result[string](x, r))
		n.stop()
	}
}

// M5, F9
func staleStage(x *fixture) {
	n := x.node(func(c *router.Config) { c.Lease = lease })
	task, child := saga.NewTask[int]("svc/task"), saga.NewTask[int]("svc/child")
	end := saga.NewTask[saga.Joined[int]]("svc/end")
	entered, gate := make(chan int, 9), make(chan struct{})
	var count, children atomic.Int64
	saga.Handle(n, task, func(ctx context.Context, _ int) (saga.Step, error) {
		exec := count.Add(1)
		f := saga.ForkSeq(child, func(yield func(int) bool) {
			for i := range 1500 {
				if exec == 1 && i == 700 {
					entered <- 1
					<-gate
				}
				if !yield(i) {
					return
				}
			}
		})
		return saga.Do(f, saga.Join(saga.AllOf(f), end, 0)), nil
	})
	saga.Handle(n, child, func(context.Context, int) (saga.Step, error) { children.Add(1); return nil, nil })
	saga.Handle(n, end, func(_ context.Context, j saga.Joined[int]) (saga.Step, error) { return saga.Finish(j.Done), nil })
	n.run()
	r := start(n, task, 1)
	get(x, entered)
	x.closeWorker(n)
	x.until("run again", func() bool { return count.Load() == 2 })
	close(gate)
	require.Equal(x, 1500, result[int](x, r))
	require.Equal(x, int64(1500), children.Load())
	n.stop()
	require.Empty(x, rows[step.ChunkRow](x, store.Chunk))
}

// M5
func pausedWorker(x *fixture) {
	task := saga.NewTask[int]("svc/task")
	paused := x.node(func(c *router.Config) { c.Lease = lease })
	other := x.node(func(c *router.Config) { c.Lease = lease })
	entered, gate := make(chan string, 9), make(chan struct{})
	saga.Handle(paused, task, func(context.Context, int) (saga.Step, error) {
		entered <- "paused"
		<-gate
		return saga.Finish("paused"), nil
	})
	saga.Handle(other, task, func(context.Context, int) (saga.Step, error) {
		entered <- "other"
		return saga.Finish("other"), nil
	})
	paused.run()
	r := start(paused, task, 1)
	require.Equal(x, "paused", get(x, entered))
	other.run()
	held := make(chan struct{})
	paused.hold.Store(&held)
	require.Equal(x, "other", get(x, entered))
	require.Equal(x, "other", result[string](x, find(other, r)))
	paused.hold.Store(nil)
	close(held)
	close(gate)
	paused.until("it goes on as a new worker", func() bool { return paused.workers.Load() == 2 })
	paused.stop()
	require.Equal(x, int64(1), x.counters().Done)
}

// until is [fixture.until].
func (n *node) until(what string, cond func() bool) { n.x.Helper(); n.x.until(what, cond) }

// afterOutage stops the time of one process, with its beats, for an hour:
// when both are back, neither is closed.
//
// M5
func afterOutage(x *fixture) {
	x.fake()
	a, b := x.node(nil), x.node(nil)
	task := saga.NewTask[int]("svc/task")
	entered, gate := make(chan struct{}, 9), make(chan struct{})
	for _, n := range []*node{a, b} {
		saga.Handle(n, task, func(context.Context, int) (saga.Step, error) {
			entered <- struct{}{}
			<-gate
			return saga.Finish(1), nil
		})
		n.run()
	}
	r := start(a, task, 1)
	get(x, entered)
	keys := []int64{a.key(), b.key()}
	x.pass(time.Hour) // nobody could beat meanwhile
	for range 5 {
		before := []int64{a.beats.Load(), b.beats.Load()}
		x.pass(10 * time.Second)
		x.until("both beat", func() bool { return a.beats.Load() > before[0] && b.beats.Load() > before[1] })
	}
	require.Equal(x, keys, []int64{a.key(), b.key()})
	close(gate)
	require.NoError(x, r.Result(x.ctx, nil))
	require.Empty(x, entered)
}

// M5
func holderVisible(x *fixture) {
	n := x.node(nil)
	task := saga.NewTask[int]("svc/task")
	entered, gate := make(chan struct{}), make(chan struct{})
	saga.Handle(n, task, func(context.Context, int) (saga.Step, error) { close(entered); <-gate; return nil, nil })
	n.run()
	start(n, task, 1)
	get(x, entered)
	found, err := x.look().Find(x.ctx, store.Query{Workers: &store.WorkerQuery{}})
	require.NoError(x, err)
	host, _ := os.Hostname()
	require.Len(x, found.Workers, 1)
	w := found.Workers[0]
	require.Equal(x, w.Key, x.messages()[0].Worker)
	require.Equal(x, host, w.Host)
	require.Equal(x, os.Getpid(), w.PID)
	close(gate)
}

// L1, M5
func drainOne(x *fixture) {
	const runs = 60
	task, child := saga.NewTask[int]("svc/task"), saga.NewTask[int]("svc/child")
	entered, gate := make(chan *node, 1000), make(chan struct{})
	var nodes []*node
	var ran log[string]
	for range 2 {
		n := x.node(func(c *router.Config) { c.Concurrency, c.Hold, c.Poll = 4, 8, 2*time.Millisecond })
		saga.Handle(n, task, func(ctx context.Context, v int) (saga.Step, error) {
			entered <- n
			<-gate
			ran.add(saga.MessageID(ctx))
			return saga.Send(child, v), nil
		})
		saga.Handle(n, child, func(ctx context.Context, v int) (saga.Step, error) {
			ran.add(saga.MessageID(ctx))
			return saga.Finish(v), nil
		})
		nodes = append(nodes, n.run())
	}
	var all []saga.Run
	for i := range runs {
		all = append(all, start(nodes[1], task, i))
	}
	seen := map[*node]bool{}
	for len(seen) < 2 {
		seen[get(x, entered)] = true
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); nodes[0].stop() }()
	close(gate)
	for i, r := range all {
		require.Equal(x, i, result[int](x, r))
	}
	get(x, stopped)
	require.Len(x, ran.all(), 2*runs, "none was cut short, and none ran twice")
}

// L1
func drainTimeout(x *fixture) {
	slow := x.node(func(c *router.Config) { c.Drain = 50 * time.Millisecond })
	other := x.node(nil)
	task := saga.NewTask[int]("svc/task")
	entered := make(chan struct{}, 9)
	saga.Handle(slow, task, func(ctx context.Context, v int) (saga.Step, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	saga.Handle(other, task, func(ctx context.Context, v int) (saga.Step, error) { return saga.Finish(saga.Attempt(ctx)), nil })
	slow.run()
	r := start(slow, task, 1)
	get(x, entered)
	slow.stop()
	other.run()
	require.Equal(x, 1, result[int](x, find(other, r)), "being cut short is no attempt")
}

// L1
func givesBack(x *fixture) {
	n := x.node(func(c *router.Config) { c.Concurrency, c.Drain = 1, 20*time.Millisecond })
	task := saga.NewTask[int]("svc/task")
	entered := make(chan struct{}, 99)
	saga.Handle(n, task, func(ctx context.Context, _ int) (saga.Step, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	n.run()
	require.NoError(x, saga.Enqueue(x.ctx, n.Router, "", task, 1, 2, 3, 4, 5))
	get(x, entered)
	n.stop()
	left := x.messages()
	require.Len(x, left, 5)
	for _, m := range left {
		require.Zero(x, m.Worker)
		require.Zero(x, m.Attempt)
	}
}
