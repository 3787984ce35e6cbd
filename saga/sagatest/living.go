package sagatest

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

var livingChecks = []check{
	{"what is wrong is told at start, in one line", toldAtStart},
	{"runs can be started where no handler is, and before any", startedElsewhere},
	{"only configuration changes from pair to pair", byConfiguration},
	{"many processes open a new store at once", openedAtOnce},
	{"jobs are inserted once for each id", enqueuedOnce},
}

// L1
func toldAtStart(x *fixture) {
	task := saga.NewTask[int]("svc/task")
	nothing := func(context.Context, int) (saga.Step, error) { return nil, nil }
	for what, bind := range map[string]func(n *node){
		"bound twice":     func(n *node) { saga.Handle(n, task, nothing); saga.Handle(n, task, nothing) },
		"service/task":    func(n *node) { saga.Handle(n, saga.NewTask[int]("no slash"), nothing) },
		"nothing to run":  func(*node) {},
		"has two handler": func(n *node) { n.AddHandler("a", "t", "", nil); n.AddHandler("b", "t", "", nil) },
		"is a service's":  func(n *node) { saga.Handle(n, task, nothing); n.AddHandler("a", "svc", "", nil) },
	} {
		n := x.node(nil)
		bind(n)
		err := n.Run(x.ctx)
		require.ErrorContains(x, err, what)
		require.NotContains(x, err.Error(), "\n")
	}
	n := x.node(nil)
	saga.Handle(n, task, nothing)
	n.run()
	require.ErrorContains(x, n.Run(x.ctx), "twice")
}

// L1, T1
func startedElsewhere(x *fixture) {
	starter := x.node(nil)
	task := saga.NewTask[int]("svc/task")
	first := start(starter, task, 1)
	n := x.node(nil)
	saga.Handle(n, task, func(_ context.Context, v int) (saga.Step, error) { return saga.Finish(v), nil })
	n.run()
	require.Equal(x, 1, result[int](x, first))
	require.Equal(x, 2, result[int](x, start(starter, task, 2)))
}

// program is a text that knows nothing of stores and transports.
func program(ctx context.Context, cfg router.Config) (sum int, err error) {
	r, err := router.New(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	begin, square, end := saga.NewTask[int]("p/begin"), saga.NewTask[int]("p/square"), saga.NewTask[saga.Joined[int]]("p/end")
	saga.Handle(r, begin, func(_ context.Context, k int) (saga.Step, error) {
		f := saga.ForkSeq(square, seq(k))
		return saga.Do(f, saga.Join(saga.AllOf(f), end, k)), nil
	})
	saga.Handle(r, square, func(_ context.Context, i int) (saga.Step, error) { return saga.Return(i * i), nil })
	saga.Handle(r, end, func(ctx context.Context, j saga.Joined[int]) (saga.Step, error) {
		total := 0
		for o, err := range saga.Results[int](ctx, j) {
			if err != nil {
				return nil, err
			}
			total += o.Value
		}
		return saga.Finish(total), nil
	})
	inner, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { err = r.Run(inner) })
	h, startErr := saga.Start(ctx, r, begin, 10)
	if startErr == nil {
		startErr = h.Result(ctx, &sum)
	}
	cancel()
	done.Wait()
	if startErr != nil {
		return 0, startErr
	}
	return sum, err
}

// L2
func byConfiguration(x *fixture) {
	if x.place.Note != nil {
		x.place.Note("p")
	}
	sum, err := program(x.ctx, router.Config{Store: x.place.Store, Transport: x.place.Transport})
	require.NoError(x, err)
	require.Equal(x, 285, sum)
}

// L3
func openedAtOnce(x *fixture) {
	var all sync.WaitGroup
	errs, handles := make([]error, 8), make([]store.Store, 8)
	for i := range errs {
		all.Go(func() { handles[i], errs[i] = store.Open(x.ctx, x.place.Store, store.Options{}) })
	}
	all.Wait()
	for i := range errs {
		require.NoError(x, errs[i])
		require.NoError(x, handles[i].Close())
	}
	if m, ok := x.look().(store.Migrator); ok {
		from, to, err := m.Migrate(x.ctx)
		require.NoError(x, err)
		require.Equal(x, to, from)
	}
}

// M1, L4
func enqueuedOnce(x *fixture) {
	n := x.node(nil)
	task := saga.NewTask[int]("svc/task")
	var ran atomic.Int64
	saga.Handle(n, task, func(context.Context, int) (saga.Step, error) { ran.Add(1); return nil, nil })
	n.run()
	for range 3 {
		require.NoError(x, saga.Enqueue(x.ctx, n.Router, "import-7", task, 1, 2, 3))
	}
	x.until("all have ended", func() bool { return len(x.messages()) == 0 })
	n.stop()
	require.Equal(x, int64(3), ran.Load())
}
