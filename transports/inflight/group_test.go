package inflight

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

var (
	errGroup = errors.New("closed")
	errOpen  = errors.New("no server")
)

func opens(context.Context) error { return nil }

func TestGroupEndsItsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Group{Err: errGroup}
		left := make(chan struct{})
		ended := 0
		run := func(ctx context.Context) {
			g.Go(func() { <-left })
			<-ctx.Done()
			ended++
		}
		require.NoError(t, g.Open(t.Context(), opens, run))
		own, end := context.WithCancel(t.Context())
		require.NoError(t, g.Open(own, opens, run))
		synctest.Wait()
		end()
		synctest.Wait()
		require.Equal(t, 1, ended, "its own context ended")
		require.False(t, g.Closed())

		closed := make(chan struct{})
		go func() { g.Close(); close(closed) }()
		synctest.Wait()
		require.Equal(t, 2, ended)
		select {
		case <-closed:
			t.Fatal("closed before what was left behind had ended")
		default:
		}
		close(left)
		<-closed
		g.Close()
		require.True(t, g.Closed())
		require.ErrorIs(t, g.Open(t.Context(), opens, run), errGroup)
	})
}

func TestGroupThatCanNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Group{Err: errGroup}
		run := func(context.Context) { t.Error("it is not open") }
		require.ErrorIs(t, g.Open(t.Context(), func(context.Context) error { return errOpen }, run), errOpen)
	})
}

// Who is about to open a subscription when the group is closed is told so;
// whose own context ends is told that.
func TestGroupThatIsClosedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Group{Err: errGroup}
		run := func(context.Context) { t.Error("it is not open") }
		waits := func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		own, end := context.WithCancel(t.Context())
		errs := make(chan error, 1)
		go func() { errs <- g.Open(own, waits, run) }()
		synctest.Wait()
		end()
		require.ErrorIs(t, <-errs, context.Canceled)

		go func() { errs <- g.Open(t.Context(), waits, run) }()
		synctest.Wait()
		g.Close()
		require.ErrorIs(t, <-errs, errGroup)
	})
}
