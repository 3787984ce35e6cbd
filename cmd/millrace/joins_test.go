//semantics:stores sqlite

package main

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
)

var (
	wait  = saga.NewTask[int]("shop/wait")
	child = saga.NewTask[int]("shop/child")
	probe = saga.NewTask[int]("shop/probe")
	over  = saga.NewTask[saga.Joined[int]]("shop/over")
	paid  = saga.NewEvent[int]("paid")
)

// bindWaiting binds a task that opens a join of each sort. Of the children of
// its fork, the first fails, the second is done, and the third stays.
func (s *shop) bindWaiting(r *router.Router) {
	saga.Handle(r, over, func(context.Context, saga.Joined[int]) (saga.Step, error) { return nil, nil })
	saga.Handle(r, wait, func(context.Context, int) (saga.Step, error) {
		f := saga.Fork(child, 0, 1, 2)
		return saga.Do(
			f, saga.Join(saga.AllOf(f), over, 1).Named("children"), saga.Emit(packed, 1),
			saga.Join(saga.Any(charged, paid), over, 1).Named("any"),
			saga.Join(saga.Some(2, packed, charged, paid), over, 1).Named("some"),
			saga.Join(saga.All(paid, charged), over, 1).Named("wide").In("order/42"),
		), nil
	})
	saga.Handle(r, probe, func(context.Context, int) (saga.Step, error) {
		return saga.Join(saga.All(paid), over, 1).In("order/42"), nil
	})
	saga.Handle(r, child, func(_ context.Context, n int) (saga.Step, error) {
		s.ran <- "child"
		switch n {
		case 0:
			return nil, saga.Permanent(errors.New("no"))
		case 1:
			return saga.Emit(paid, 1).In("order/42"), nil
		}
		<-s.letGo
		return nil, nil
	})
}

// N4, F8: a join says what it misses, wherever it is.
func TestRunsShowJoins(t *testing.T) {
	s := newShop(t)
	r, err := router.New(t.Context(), router.Config{Store: s.url, Concurrency: 1, Log: quiet()})
	require.NoError(t, err)
	defer r.Close()
	s.bindWaiting(r)
	require.NoError(t, r.RunWhile(t.Context(), func(ctx context.Context) error {
		_, err := saga.Start(ctx, r, wait, 1, saga.ID("waits"))
		require.NoError(t, err)
		s.await(t, 3) // one at a time: two have ended
		d := of[runDocument](t, s.does(t, "runs", "show", "waits", "--json"))
		close(s.letGo)
		joins := map[string]openJoin{}
		for _, j := range d.Waits.Joins {
			joins[j.Name] = j
		}
		require.Equal(t, map[string]openJoin{
			"children": {Name: "children", Mode: "fork", Need: 1, Total: 3, Done: 1, Failed: 1, Then: "shop/over"},
			"any":      {Name: "any", Mode: "any", Need: 1, Missing: []string{"charged", "paid"}, Then: "shop/over"},
			"some":     {Name: "some", Mode: "some", Need: 1, Missing: []string{"charged", "paid"}, Arrived: []string{"packed"}, Then: "shop/over"},
			"wide":     joins["wide"],
		}, joins)
		h, err := saga.Start(ctx, r, probe, 1)
		require.NoError(t, err)
		return h.Result(ctx, nil) // the event has reached its scope
	}))

	d := of[runDocument](t, s.does(t, "runs", "show", "waits", "--json"))
	wide := d.Waits.Joins[len(d.Waits.Joins)-1]
	require.Equal(t, openJoin{
		Name: "wide", Mode: "all", Scope: "order/42", Need: 1, Missing: []string{"charged"}, Arrived: []string{"paid"}, Then: "shop/over",
	}, wide)
	text := steady(s.does(t, "runs", "show", "waits"))
	require.Contains(t, text, "\nany  shop/over  1 of charged, paid  -  -  -\n")
	require.Contains(t, text, "\nsome  shop/over  1 of charged, paid  packed  -  -\n")
	require.Contains(t, text, "\nwide in order/42  shop/over  charged  paid  -  -\n")
}
