package router_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
)

func TestRunWhileHandlersRunAsLongAsTheFunction(t *testing.T) {
	onStores(t, func(t *testing.T, r *router.Router) {
		double := saga.NewTask[int]("svc/double")
		saga.Handle(r, double, func(_ context.Context, n int) (saga.Step, error) { return saga.Finish(2 * n), nil })
		var got int
		require.NoError(t, r.RunWhile(t.Context(), func(ctx context.Context) error {
			run, err := saga.Start(ctx, r, double, 21)
			require.NoError(t, err)
			return run.Result(ctx, &got)
		}))
		require.Equal(t, 42, got)
	})
}

func TestRunWhileReturnsTheErrorOfTheFunction(t *testing.T) {
	onStores(t, func(t *testing.T, r *router.Router) {
		saga.Handle(r, saga.NewTask[int]("svc/a"), func(context.Context, int) (saga.Step, error) { return nil, nil })
		mine := errors.New("mine")
		require.ErrorIs(t, r.RunWhile(t.Context(), func(context.Context) error { return mine }), mine)
	})
}

func TestRunWhileEndsTheFunctionWhenTheHandlersCannotRun(t *testing.T) {
	onStores(t, func(t *testing.T, r *router.Router) {
		err := r.RunWhile(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		require.ErrorContains(t, err, "no handler is bound")
	})
}

// L1
func TestRunToldToStopBeforeItHasBegunIsNoError(t *testing.T) {
	onStores(t, func(t *testing.T, r *router.Router) {
		saga.Handle(r, saga.NewTask[int]("svc/a"), func(context.Context, int) (saga.Step, error) { return nil, nil })
		ctx, stop := context.WithCancel(t.Context())
		stop()
		require.NoError(t, r.Run(ctx))
	})
}
