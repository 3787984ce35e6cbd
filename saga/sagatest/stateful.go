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
)

var statefulChecks = []check{
	{"no update is lost, whoever updates at once", noLostUpdate},
	{"messages for an unknown saga are parked, and run when it begins", parkedMessages},
	{"a run's message for a stateful saga reaches it", readdressed},
	{"a state that was not stored is not kept", stateOfFailed},
	{"a saga goes on after a crash", statefulCrash},
	{"messages with the same key run one at a time", exclusiveKeys},
}

type deposit struct {
	Account string
	Amount  int
}

type account struct{ Sum, Count int }

func (d deposit) account() string { return d.Account }

// bank is a stateful saga that adds up.
type bank struct {
	saga        saga.Stateful[account]
	open, add   saga.Task[deposit]
	closes      saga.Task[deposit]
	ran         atomic.Int64
	inside      map[string]*atomic.Int64
	disturb     func(ctx context.Context, d deposit) error
	failOverlap func(string)
}

func newBank(x *fixture, accounts ...string) *bank {
	b := &bank{saga: saga.NewStateful[account]("bank/account"), open: saga.NewTask[deposit]("bank/open"),
		add: saga.NewTask[deposit]("bank/add"), closes: saga.NewTask[deposit]("bank/close"), inside: map[string]*atomic.Int64{},
		failOverlap: func(name string) { x.Errorf("two handlers of %s at once", name) }}
	for _, name := range append(accounts, "a", "b", "c") {
		b.inside[name] = new(atomic.Int64)
	}
	return b
}

func (b *bank) bind(n *node) {
	update := func(ctx context.Context, st *account, d deposit) (saga.Step, error) {
		if b.inside[d.Account].Add(1) != 1 {
			b.failOverlap(d.Account)
		}
		defer b.inside[d.Account].Add(-1)
		b.ran.Add(1)
		st.Sum += d.Amount
		st.Count++
		if b.disturb != nil {
			return nil, b.disturb(ctx, d)
		}
		return nil, nil
	}
	saga.HandleState(n, b.saga, b.open, deposit.account, update, saga.Starts())
	saga.HandleState(n, b.saga, b.add, deposit.account, update)
	saga.HandleState(n, b.saga, b.closes, deposit.account, func(_ context.Context, st *account, _ deposit) (saga.Step, error) {
		return saga.Finish(*st), nil
	})
}

// C2, M3
func noLostUpdate(x *fixture) {
	const each = 60
	b := newBank(x)
	var nodes []*node
	for range 3 {
		n := x.node(func(c *router.Config) { c.Poll, c.Concurrency, c.Hold = time.Millisecond, 4, 8 })
		b.bind(n)
		nodes = append(nodes, n.run())
	}
	for i := range each {
		for name := range b.inside {
			task := b.open
			if i%2 == 1 {
				task = b.add
			}
			require.NoError(x, saga.Enqueue(x.ctx, nodes[i%3].Router, "", task, deposit{name, i}))
		}
	}
	x.until("all were added", func() bool { return len(x.messages()) == 0 })
	for name := range b.inside {
		require.NoError(x, saga.Enqueue(x.ctx, nodes[0].Router, "", b.closes, deposit{Account: name}))
		r, err := saga.Find(x.ctx, nodes[0].Router, "bank/account/"+name)
		require.NoError(x, err)
		require.Equal(x, account{each * (each - 1) / 2, each}, result[account](x, r))
	}
	require.Equal(x, int64(3*each), b.ran.Load(), "none runs twice for it")
}

// C2
func parkedMessages(x *fixture) {
	b := newBank(x)
	n := x.node(nil)
	b.bind(n)
	n.run()
	require.NoError(x, saga.Enqueue(x.ctx, n.Router, "", b.add, deposit{"a", 1}, deposit{"a", 2}))
	x.until("parked", func() bool { return len(rows[step.WaiterRow](x, store.Waiter)) == 2 })
	for _, m := range x.messages() {
		require.Equal(x, store.Never, m.Due, "visibly")
		require.Equal(x, "bank/account/a", m.Key)
	}
	require.Zero(x, b.ran.Load())
	require.NoError(x, saga.Enqueue(x.ctx, n.Router, "", b.open, deposit{"a", 10}))
	x.until("all were added", func() bool { return len(x.messages()) == 0 })
	found, err := saga.Find(x.ctx, n.Router, "bank/account/a")
	require.NoError(x, err)
	require.NoError(x, saga.Enqueue(x.ctx, n.Router, "", b.closes, deposit{Account: "a"}))
	require.Equal(x, account{13, 3}, result[account](x, found))
}

// C2
func readdressed(x *fixture) {
	b := newBank(x)
	n := x.node(nil)
	b.bind(n)
	order := saga.NewTask[int]("shop/order")
	saga.Handle(n, order, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Do(saga.Send(b.open, deposit{"a", v}), saga.Send(b.add, deposit{"a", v})), nil
	})
	n.run()
	r := start(n, order, 21)
	require.NoError(x, r.Result(x.ctx, nil))
	x.until("all were added", func() bool { return len(x.messages()) == 0 })
	require.NoError(x, saga.Enqueue(x.ctx, n.Router, "", b.closes, deposit{Account: "a"}))
	found, err := saga.Find(x.ctx, n.Router, "bank/account/a")
	require.NoError(x, err)
	require.Equal(x, account{42, 2}, result[account](x, found))
}

// C2, F1
func stateOfFailed(x *fixture) {
	b := newBank(x)
	b.disturb = func(ctx context.Context, d deposit) error {
		switch {
		case d.Amount == 7 && saga.Attempt(ctx) < 3:
			return errors.New("again")
		case d.Amount == 100:
			return saga.Permanent(errors.New("too much"))
		}
		return nil
	}
	n := x.node(nil)
	b.bind(n)
	n.run()
	require.NoError(x, saga.Enqueue(x.ctx, n.Router, "", b.open, deposit{"a", 1}))
	require.NoError(x, saga.Enqueue(x.ctx, n.Router, "", b.add, deposit{"a", 7}, deposit{"a", 100}, deposit{"a", 2}))
	x.until("all have ended", func() bool { return len(x.messages()) == 0 })
	found, err := saga.Find(x.ctx, n.Router, "bank/account/a")
	require.NoError(x, err)
	row := x.row(found)
	require.JSONEq(x, `{"Sum": 10, "Count": 3}`, string(row.State))
	require.Equal(x, 3, row.Revision)
	require.Len(x, x.letters(), 1)
}

// C2, M5
func statefulCrash(x *fixture) {
	b := newBank(x)
	gate := make(chan struct{})
	entered := make(chan struct{}, 99)
	b.disturb = func(context.Context, deposit) error { entered <- struct{}{}; <-gate; return nil }
	n := x.node(nil)
	b.bind(n)
	n.run()
	require.NoError(x, saga.Enqueue(x.ctx, n.Router, "", b.open, deposit{"a", 1}, deposit{"a", 2}, deposit{"a", 3}))
	get(x, entered)
	x.until("the others wait", func() bool { return len(rows[step.WaiterRow](x, store.Waiter)) == 2 })
	n.cut.Store(true)
	x.closeWorkers()
	close(gate)
	n.stop()
	b.disturb = nil
	again := x.node(nil)
	b.bind(again)
	again.run()
	x.until("all have ended", func() bool { return len(x.messages()) == 0 })
	found, err := saga.Find(x.ctx, again.Router, "bank/account/a")
	require.NoError(x, err)
	require.JSONEq(x, `{"Sum": 6, "Count": 3}`, string(x.row(found).State))
	require.Empty(x, rows[step.LockRow](x, store.Lock))
}

// C2, M3
func exclusiveKeys(x *fixture) {
	begin, task := saga.NewTask[int]("svc/begin"), saga.NewTask[string]("svc/task")
	inside := map[string]*atomic.Int64{"0": {}, "1": {}, "2": {}}
	var ran atomic.Int64
	var nodes []*node
	for range 2 {
		n := x.node(func(c *router.Config) { c.Poll, c.Hold = time.Millisecond, 16 })
		saga.Handle(n, begin, func(context.Context, int) (saga.Step, error) {
			var s []saga.Step
			for i := range 90 {
				key := fmt.Sprint(i % 3)
				s = append(s, saga.Send(task, key).Key("k"+key))
			}
			return saga.Do(s...), nil
		})
		saga.Handle(n, task, func(ctx context.Context, key string) (saga.Step, error) {
			if inside[key].Add(1) != 1 {
				x.Errorf("two messages with key %s at once", key)
			}
			defer inside[key].Add(-1)
			if ran.Add(1)%20 == 0 {
				return nil, errors.New("a retry gives the key to others")
			}
			return nil, nil
		})
		nodes = append(nodes, n.run())
	}
	require.NoError(x, start(nodes[0], begin, 1).Result(x.ctx, nil))
	require.Equal(x, int64(94), ran.Load())
	require.Empty(x, rows[step.LockRow](x, store.Lock))
	require.Empty(x, rows[step.WaiterRow](x, store.Waiter))
}
