//semantics:stores memory sqlite

package router_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/doctor/doctortest"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

var slow = saga.NewTask[string]("svc/slow")

// process is a router that runs until it is stopped.
type process struct {
	*router.Router
	stop func() // and wait until it has ended
	tell context.CancelFunc
}

// begin runs a process on the store of another, with one handler.
func begin(t *testing.T, on *router.Router, cfg router.Config, h saga.Handler[string]) *process {
	t.Helper()
	cfg.Opened = on.Store()
	r, err := router.New(t.Context(), cfg)
	require.NoError(t, err)
	saga.Handle(r, slow, h)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	select {
	case <-r.Running():
	case err := <-done:
		t.Fatal(err)
	}
	stopped := false
	p := &process{Router: r, tell: cancel}
	p.stop = func() {
		if cancel(); !stopped {
			stopped = true
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(p.stop)
	return p
}

func startSlow(t *testing.T, h saga.Host, n int) (all []saga.Run) {
	t.Helper()
	for i := range n {
		run, err := saga.Start(t.Context(), h, slow, fmt.Sprint(i), saga.ID(fmt.Sprintf("run-%d", i)))
		require.NoError(t, err)
		all = append(all, run)
	}
	return all
}

// released checks that nobody holds anything, and that nobody works.
func released(t *testing.T, r *router.Router) (open []*store.Message) {
	t.Helper()
	workers, err := r.Find(t.Context(), store.Query{Workers: &store.WorkerQuery{}})
	require.NoError(t, err)
	require.Empty(t, workers.Workers)
	found, err := r.Find(t.Context(), store.Query{Messages: &store.MessageQuery{}})
	require.NoError(t, err)
	for _, m := range found.Messages {
		require.False(t, m.Held())
		require.Zero(t, m.Attempt, "to be stopped is no attempt")
	}
	doctortest.Check(t, r.Store())
	return found.Messages
}

// L1: running steps finish, leases are released, and what waited goes on
// elsewhere.
func TestDrain(t *testing.T) {
	onStores(t, func(t *testing.T, base *router.Router) {
		entered, letGo := make(chan string, 50), make(chan struct{})
		first := begin(t, base, router.Config{Concurrency: 2}, func(ctx context.Context, s string) (saga.Step, error) {
			entered <- s
			<-letGo
			return saga.Finish("first"), ctx.Err()
		})
		runs := startSlow(t, first, 50)
		began := map[string]bool{<-entered: true, <-entered: true}
		first.tell()
		close(letGo)
		first.stop()
		for range len(entered) { // before it heard that it is to stop
			began[<-entered] = true
		}
		require.Len(t, released(t, base), len(runs)-len(began))

		second := begin(t, base, router.Config{}, func(context.Context, string) (saga.Step, error) { return saga.Finish("second"), nil })
		for i, run := range runs {
			got, err := saga.Find(t.Context(), second, run.ID)
			require.NoError(t, err)
			var who string
			require.NoError(t, got.Result(t.Context(), &who))
			require.Equal(t, map[bool]string{true: "first", false: "second"}[began[fmt.Sprint(i)]], who)
		}
		second.stop()
		require.Empty(t, released(t, base))
	})
}

// L1: a handler that heeds its context is cut short at the deadline; its
// message runs again elsewhere.
func TestDrainDeadline(t *testing.T) {
	onStores(t, func(t *testing.T, base *router.Router) {
		entered := make(chan struct{}, 1)
		first := begin(t, base, router.Config{Drain: time.Millisecond}, func(ctx context.Context, s string) (saga.Step, error) {
			entered <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		run := startSlow(t, first, 1)[0]
		<-entered
		first.stop()
		require.Len(t, released(t, base), 1)
		elsewhere(t, base, run)
	})
}

// L1, M5: a handler that does not heed it is left behind, and whatever it
// decides later has no effect.
func TestDrainLeavesBehindWhoDoesNotStop(t *testing.T) {
	onStores(t, func(t *testing.T, base *router.Router) {
		entered, letGo, ended := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		first := begin(t, base, router.Config{Drain: time.Millisecond}, func(context.Context, string) (saga.Step, error) {
			defer close(ended)
			entered <- struct{}{}
			<-letGo
			return saga.Finish("too late"), nil
		})
		run := startSlow(t, first, 1)[0]
		<-entered
		first.stop()
		require.Len(t, released(t, base), 1)
		elsewhere(t, base, run)
		close(letGo)
		<-ended
		doctortest.Check(t, base.Store())
	})
}

// elsewhere runs what a process has left behind.
func elsewhere(t *testing.T, base *router.Router, run saga.Run) {
	t.Helper()
	second := begin(t, base, router.Config{}, func(context.Context, string) (saga.Step, error) { return saga.Finish("elsewhere"), nil })
	got, err := saga.Find(t.Context(), second, run.ID)
	require.NoError(t, err)
	var who string
	require.NoError(t, got.Result(t.Context(), &who))
	require.Equal(t, "elsewhere", who)
	second.stop()
	require.Empty(t, released(t, base))
}
