package sagatest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

var scopeChecks = []check{
	{"events of a run are its own", runScope},
	{"a wider scope crosses runs and services", widerScope},
	{"a wider scope ends some time after its last use", scopeExpires},
	{"a join in a wider scope has its deadline", scopeDeadline},
}

// F8
func runScope(x *fixture) {
	n := x.node(nil)
	emits, joins := saga.NewTask[int]("svc/emits"), saga.NewTask[int]("svc/joins")
	end := saga.NewTask[saga.Joined[int]]("svc/end")
	saga.Handle(n, emits, func(context.Context, int) (saga.Step, error) { return saga.Emit(event(0), 1), nil })
	saga.Handle(n, joins, func(_ context.Context, v int) (saga.Step, error) { return saga.Join(saga.All(event(0)), end, v), nil })
	saga.Handle(n, end, func(context.Context, saga.Joined[int]) (saga.Step, error) { return saga.Finish("wrong"), nil })
	n.run()
	r := start(n, joins, 1)
	x.status(r, store.Stalled)
	require.NoError(x, start(n, emits, 1).Result(x.ctx, nil))
	require.Equal(x, store.Stalled, x.row(r).Status)
}

// F8, F2, F3, F10: emits before the join and after it.
func widerScope(x *fixture) {
	shop, bank := x.node(nil), x.node(nil)
	order, pay := saga.NewTask[int]("shop/order"), saga.NewTask[int]("bank/pay")
	end := saga.NewTask[saga.Joined[int]]("shop/end")
	var fired atomic.Int64
	saga.Handle(shop, order, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Join(saga.All(event(0), event(1)), end, v).In("order/42"), nil
	})
	saga.Handle(shop, end, func(ctx context.Context, j saga.Joined[int]) (saga.Step, error) {
		fired.Add(1)
		v, _, _, err := event(1).From(ctx, j.Events)
		return saga.Finish(v), err
	})
	saga.Handle(bank, pay, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Emit(event(v), 10+v).In("order/42"), nil
	})
	shop.run()
	bank.run()
	require.NoError(x, start(bank, pay, 0).Result(x.ctx, nil))
	first := start(shop, order, 1)
	x.until("the join has reached its scope", func() bool {
		rows := rows[step.ScopeRow](x, store.Scope)
		return len(rows) == 1 && rows[0].Open == 1
	})
	require.Equal(x, store.Running, x.row(first).Status, "not stalled: any run may emit")
	require.NoError(x, start(bank, pay, 1).Result(x.ctx, nil))
	require.Equal(x, 11, result[int](x, first))
	require.Equal(x, 11, result[int](x, start(shop, order, 2)), "later joins too")
	require.Equal(x, int64(2), fired.Load())
}

// F8: never under an open join.
func scopeExpires(x *fixture) {
	x.fake()
	n := x.node(func(c *router.Config) { c.ScopeRetention = 7 * 24 * time.Hour })
	emit, join := saga.NewTask[int]("svc/emit"), saga.NewTask[int]("svc/join")
	end := saga.NewTask[saga.Joined[int]]("svc/end")
	saga.Handle(n, emit, func(_ context.Context, v int) (saga.Step, error) { return saga.Emit(event(v), v).In("s"), nil })
	saga.Handle(n, join, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Join(saga.All(event(0), event(1)), end, v).In("s"), nil
	})
	saga.Handle(n, end, func(context.Context, saga.Joined[int]) (saga.Step, error) { return saga.Finish("joined"), nil })
	n.run()
	require.NoError(x, start(n, emit, 0).Result(x.ctx, nil))
	r := start(n, join, 1)
	open := func() bool { s := rows[step.ScopeRow](x, store.Scope); return len(s) == 1 && s[0].Open == 1 }
	x.until("the join has reached its scope", open)
	for range 5 {
		x.pass(5 * 24 * time.Hour)
		n.looks(2)
	}
	require.True(x, open())
	require.NoError(x, start(n, emit, 1).Result(x.ctx, nil))
	require.Equal(x, "joined", result[string](x, r))
	for len(rows[step.ScopeRow](x, store.Scope)) > 0 {
		require.NoError(x, x.ctx.Err())
		x.pass(24 * time.Hour)
	}
	require.Empty(x, rows[step.EventRow](x, store.Event))
	require.Empty(x, x.messages())
}

// F7, F8
func scopeDeadline(x *fixture) {
	x.fake()
	n := x.node(nil)
	join := saga.NewTask[int]("svc/join")
	end := saga.NewTask[saga.Joined[int]]("svc/end")
	saga.Handle(n, join, func(_ context.Context, v int) (saga.Step, error) {
		return saga.Join(saga.All(event(0), event(1)), end, v).In("s").Within(time.Hour, end), nil
	})
	saga.Handle(n, end, func(_ context.Context, j saga.Joined[int]) (saga.Step, error) { return saga.Finish(j.Late), nil })
	n.run()
	r := start(n, join, 1)
	x.until("the join has reached its scope", func() bool { return len(rows[step.ScopeRow](x, store.Scope)) == 1 })
	x.pass(time.Hour)
	require.True(x, result[bool](x, r))
}
