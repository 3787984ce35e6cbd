package sagatest

import (
	"context"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/saga"
)

//semantics:pairs *+*

var brokerChecks = []check{
	{"a broker that loses all it has loses no work", brokerLoss},
}

// brokerLoss deletes all queues again and again while a fork is worked off by
// two processes.
//
// M11, M2
func brokerLoss(x *fixture) {
	const children, losses = 300, 4
	var ran log[string]
	var wiped atomic.Int64
	loss := make(chan struct{}, losses)
	begin, child := saga.NewTask[int]("svc/begin"), saga.NewTask[int]("svc/child")
	away, end := saga.NewTask[int]("other/away"), saga.NewTask[saga.Joined[int]]("svc/end")
	note := func(ctx context.Context) {
		if n := ran.add(saga.MessageID(ctx)); n%(2*children/(losses+1)) == 0 && wiped.Add(1) <= losses {
			loss <- struct{}{}
		}
	}
	for i := range 2 {
		n := x.node(nil)
		saga.Handle(n, begin, func(context.Context, int) (saga.Step, error) {
			f := saga.ForkSeq(child, seq(children))
			return saga.Do(f, saga.Join(saga.AllOf(f), end, 0)), nil
		})
		saga.Handle(n, child, func(ctx context.Context, v int) (saga.Step, error) { note(ctx); return saga.Send(away, v), nil })
		saga.Handle(n, end, func(_ context.Context, j saga.Joined[int]) (saga.Step, error) {
			return saga.Record("children", j.Done), nil
		})
		if i == 0 { // the other sends its messages away
			saga.Handle(n, away, func(ctx context.Context, _ int) (saga.Step, error) { note(ctx); return nil, nil })
		}
		n.run()
	}
	r := start(x.nodes[1], begin, 1)
	for range losses {
		get(x, loss)
		x.place.Wipe(x.topics()...)
	}
	require.NoError(x, r.Result(x.ctx, nil))
	seen := map[string]int{}
	for _, id := range ran.all() {
		seen[id]++
	}
	require.Equal(x, 2*children, len(seen))
	require.Equal(x, 2*children, len(ran.all()), "each is run once")
}
