package router_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	_ "github.com/millrace-go/millrace/store/memory"
	_ "github.com/millrace-go/millrace/store/sqlite"
)

var stores = map[string]func(t *testing.T) string{
	"memory": func(*testing.T) string { return "memory:" },
	"sqlite": func(t *testing.T) string { return "sqlite://" + t.TempDir() + "/t.db" },
}

func onStores(t *testing.T, f func(t *testing.T, r *router.Router)) {
	for name, url := range stores {
		t.Run(name, func(t *testing.T) {
			r, err := router.New(t.Context(), router.Config{Store: url(t)})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, r.Close()) })
			f(t, r)
		})
	}
}

func run(t *testing.T, r *router.Router) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
}

func TestChain(t *testing.T) {
	onStores(t, func(t *testing.T, r *router.Router) {
		a, b, c := saga.NewTask[int]("svc/a"), saga.NewTask[int]("svc/b"), saga.NewTask[int]("svc/c")
		saga.Handle(r, a, func(_ context.Context, n int) (saga.Step, error) { return saga.Send(b, n+1), nil })
		saga.Handle(r, b, func(_ context.Context, n int) (saga.Step, error) { return saga.Send(c, n+1), nil })
		saga.Handle(r, c, func(_ context.Context, n int) (saga.Step, error) { return saga.Finish(n + 1), nil })
		run(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		h, err := saga.Start(ctx, r, a, 1)
		require.NoError(t, err)
		var n int
		require.NoError(t, h.Result(ctx, &n))
		require.Equal(t, 4, n)
	})
}

func TestForkJoin(t *testing.T) {
	onStores(t, func(t *testing.T, r *router.Router) {
		start, child, end := saga.NewTask[int]("svc/start"), saga.NewTask[int]("svc/child"), saga.NewTask[saga.Joined[int]]("svc/end")
		saga.Handle(r, start, func(_ context.Context, n int) (saga.Step, error) {
			f := saga.ForkSeq(child, func(yield func(int) bool) {
				for i := range n {
					if !yield(i) {
						return
					}
				}
			})
			return saga.Do(f, saga.Join(saga.AllOf(f), end, n)), nil
		})
		saga.Handle(r, child, func(_ context.Context, n int) (saga.Step, error) { return saga.Return(n * n), nil })
		saga.Handle(r, end, func(ctx context.Context, j saga.Joined[int]) (saga.Step, error) {
			sum := 0
			for o, err := range saga.Results[int](ctx, j) {
				if err != nil {
					return nil, err
				}
				sum += o.Value
			}
			return saga.Finish(sum), nil
		})
		run(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for _, n := range []int{0, 1, 10, 500, 501, 3000} {
			h, err := saga.Start(ctx, r, start, n)
			require.NoError(t, err)
			var got int
			require.NoError(t, h.Result(ctx, &got), "%d", n)
			want := 0
			for i := range n {
				want += i * i
			}
			require.Equal(t, want, got)
		}
	})
}

func TestCompensation(t *testing.T) {
	onStores(t, func(t *testing.T, r *router.Router) {
		var undone []string
		a, b, undo := saga.NewTask[string]("svc/a"), saga.NewTask[string]("svc/b"), saga.NewTask[string]("svc/undo")
		saga.Handle(r, a, func(_ context.Context, s string) (saga.Step, error) {
			return saga.Do(saga.Undo(undo, "a"), saga.Send(b, s)), nil
		})
		saga.Handle(r, b, func(_ context.Context, s string) (saga.Step, error) {
			return saga.Do(saga.Undo(undo, "b"), saga.Fail("no luck")), nil
		})
		saga.Handle(r, undo, func(_ context.Context, s string) (saga.Step, error) { undone = append(undone, s); return nil, nil })
		run(t, r)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		h, err := saga.Start(ctx, r, a, "x")
		require.NoError(t, err)
		err = h.Result(ctx, nil)
		require.True(t, errors.Is(err, saga.ErrFailed), err)
		require.Equal(t, []string{"b", "a"}, undone)
	})
}
