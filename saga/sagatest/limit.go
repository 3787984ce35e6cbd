package sagatest

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

var limitChecks = []check{
	{"messages that wait cost no memory of the process", waitingCostsNothing},
	{"a large fork is bounded in memory", largeForkBounded},
}

// crowd is how many messages there are: more where they cost little, or where
// the long tests were asked for.
func (x *fixture) crowd() int {
	switch {
	case os.Getenv("MILLRACE_TORTURE") != "":
		return 100_000
	case !x.pair.Brokered && (x.pair.Store == "memory" || x.pair.Store == "sqlite"):
		return 20_000
	}
	return 5_000
}

// heap returns the bytes of memory in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// waitingCostsNothing fills a store whose one handler stands still. The
// memory store keeps the rows themselves in the process; what counts is what
// the process adds to that, and what it holds of them.
//
// L6, J1
func waitingCostsNothing(x *fixture) {
	total, piece := x.crowd(), 5_000
	x.patience(5 * time.Minute)
	filler := x.node(nil)
	task := saga.NewTask[int]("svc/task")
	for i := 0; i < total; i += piece {
		require.NoError(x, saga.Enqueue(x.ctx, filler.Router, "", task, make([]int, piece)...))
	}
	before := heap()
	n := x.node(func(c *router.Config) { c.Concurrency = 4 })
	entered, gate := make(chan struct{}, total), make(chan struct{})
	saga.Handle(n, task, func(context.Context, int) (saga.Step, error) { entered <- struct{}{}; <-gate; return nil, nil })
	n.run()
	for range 4 {
		get(x, entered)
	}
	n.looks(3)
	require.Less(x, heap()-before, int64(20<<20))
	held := 0
	x.each(func(m *store.Message) {
		if m.Worker != 0 {
			held++
		}
	})
	require.LessOrEqual(x, held, 1024+4, "the rest waits in the store")
	close(gate)
	x.until("all have ended", func() bool { return x.counters().Done == int64(total) })
}

// each looks at all messages, a page at a time.
func (x *fixture) each(f func(*store.Message)) {
	x.Helper()
	for after := int64(0); ; {
		found, err := x.look().Find(x.ctx, store.Query{Messages: &store.MessageQuery{After: after}, Limit: 1000})
		require.NoError(x, err)
		for _, m := range found.Messages {
			after = m.Seq
			f(m)
		}
		if !found.More {
			return
		}
	}
}

// patience makes the test wait longer for what must come.
func (x *fixture) patience(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	x.Cleanup(cancel)
	x.ctx = ctx
}

// F9, L6
func largeForkBounded(x *fixture) {
	children := x.crowd()
	x.patience(10 * time.Minute)
	n := x.node(nil)
	var peak atomic.Int64
	var once sync.Once
	base := int64(0)
	f := newFamily(n, func(_ context.Context, i int) (saga.Step, error) {
		once.Do(func() { base = heap() })
		if i%1000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), int64(m.HeapAlloc)))
		}
		return nil, nil
	}, nil)
	n.run()
	r := start(n, f.start, children)
	require.Equal(x, summary{Total: children, Done: children}, result[summary](x, r))
	bound := int64(200 << 20)
	if x.pair.Store == "memory" { // which keeps the rows there
		bound = 500 << 20
	}
	require.Less(x, peak.Load()-base, bound)
}
