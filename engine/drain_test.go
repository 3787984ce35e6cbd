package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/storetest"
)

//semantics:stores memory

// L1: stopping lets handlers finish and stores what they decided; what was not
// begun, and what they brought forth, is left to others, free.
func TestDrain(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: idle})
		stop := w.start(e)
		release := make(chan struct{})
		unhost := w.handle(e, "a", 2, func(ctx context.Context, u *step.Unit) error {
			<-release
			require.NoError(w, ctx.Err(), "nobody is interrupted")
			u.Decide(step.Send{Topic: "a", Payload: []byte("child")})
			return nil
		})
		w.send(e, "a", 5)
		synctest.Wait()
		stopped := make(chan struct{})
		go func() { defer close(stopped); stop() }()
		pass(10 * time.Second)
		require.Len(w, w.ran(), 2, "nothing new is begun")
		close(release)
		<-stopped
		require.Len(w, w.ran(), 2)
		left := w.open()
		require.Len(w, left, 3+2)
		for _, m := range left {
			require.Zero(w, m.Worker)
		}
		require.Empty(w, w.workers())
		unhost()
	})
}

// A step that fails while its process drains is tried again by another one.
func TestRetryWhileDraining(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: idle})
		stop := w.start(e)
		entered := make(chan struct{}, 1)
		release := make(chan struct{})
		unhost := w.handle(e, "a", 2, func(context.Context, *step.Unit) error {
			entered <- struct{}{}
			<-release
			return &step.RetryError{Err: errors.New("later")}
		})
		w.send(e, "a", 1)
		<-entered
		go func() {
			synctest.Wait()
			close(release)
		}()
		stop()
		unhost()
		w.ranOnce(1)
		require.Len(w, w.open(), 1)
		require.Zero(w, w.open()[0].Worker)
		require.Equal(w, 1, w.open()[0].Attempt)
	})
}

// L1, M5: a handler that outlasts the drain is cancelled and left behind; its
// message is free for others, and its end comes too late.
func TestHandlerThatOutlastsTheDrain(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: idle, Drain: 5 * time.Second})
		stop := w.start(e)
		e.Host("a", 1)
		w.send(e, "a", 1)
		m, err := e.Next(w.Context(), "a")
		require.NoError(w, err)
		ctx, u, err := e.Begin(w.Context(), m)
		require.NoError(w, err)
		begun := time.Now()
		stop()
		require.Equal(w, 5*time.Second, time.Since(begun))
		require.Error(w, ctx.Err())
		require.Zero(w, w.open()[0].Worker)
		require.ErrorIs(w, e.End(ctx, u, nil), store.ErrLeaseLost)
		e.Unhost("a", 1)

		next := w.engine(Config{})
		defer w.start(next)()
		defer w.handle(next, "a", 1, nil)()
		synctest.Wait()
		w.ranOnce(1)
	})
}

// L1: stopping while the store is away takes a bounded time; the lease ends by
// itself.
func TestStopInAnOutage(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: time.Second, Drain: 5 * time.Second, Lease: 30 * time.Second})
		stop := w.start(e)
		release := make(chan struct{})
		unhost := w.handle(e, "a", 1, func(context.Context, *step.Unit) error { <-release; return nil })
		w.send(e, "a", 3)
		synctest.Wait()
		w.store.Plan(storetest.Always(storetest.Before))
		close(release)
		begun := time.Now()
		stop()
		require.LessOrEqual(w, time.Since(begun), time.Minute)
		w.store.Plan(nil)
		unhost()

		next := w.engine(Config{Poll: time.Second, Lease: 30 * time.Second})
		defer w.start(next)()
		defer w.handle(next, "a", 1, nil)()
		pass(2 * time.Minute)
		require.Empty(w, w.open())
		require.Equal(w, map[string]int{"0": 2, "1": 1, "2": 1}, w.ran(), "the first one's outcome could not be stored")
	})
}

// What waits in memory for a topic is given back once nobody hosts it.
func TestUnhostGivesBack(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: time.Second})
		defer w.start(e)()
		e.Host("a", 1)
		synctest.Wait()
		w.send(e, "a", 3)
		require.NotZero(w, w.open()[0].Worker)
		e.Unhost("a", 1)
		for _, m := range w.open() {
			require.Zero(w, m.Worker)
		}
		other := w.engine(Config{})
		defer w.start(other)()
		defer w.handle(other, "a", 1, nil)()
		synctest.Wait()
		w.ranOnce(3)
	})
}

// Two topics, hosted and unhosted over and over, while messages come: none is
// lost, and none stays with a worker that does not host it.
//
// M9
func TestHostingComesAndGoes(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: time.Second, Hold: 8})
		defer w.start(e)()
		for range 20 {
			go w.send(e, "a", 10)
			w.handle(e, "a", 2, nil)()
			pass(100 * time.Millisecond)
		}
		pass(10 * time.Second)
		for _, m := range w.open() {
			require.Zero(w, m.Worker)
		}
		defer w.handle(e, "a", 2, nil)()
		pass(time.Second)
		require.Empty(w, w.open())
		for payload, n := range w.ran() {
			require.Equal(w, 20, n, "executions of %s", payload)
		}
	})
}

// corrupt is a store in which the outcome of a message meets a damaged row.
type corrupt struct{ store.Store }

func (c corrupt) Commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	bad := false
	err := c.Store.Commit(ctx, keys, func(s *store.Snapshot) *store.Changes {
		changes := decide(s)
		if bad = len(changes.DeleteMessages) > 0; bad {
			return &store.Changes{}
		}
		return changes
	})
	if bad {
		return store.ErrCorrupt
	}
	return err
}

// H3: a step whose outcome meets a damaged row is not run over and over, and
// takes no handler's place; stopping does not wait for it.
func TestOutcomeThatMeetsADamagedRow(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Store: corrupt{w.store}, Poll: time.Second})
		stop := w.start(e)
		e.Host("a", 1)
		w.send(e, "a", 3)
		for range 3 {
			m, err := e.Next(w.Context(), "a")
			require.NoError(w, err)
			ctx, u, err := e.Begin(w.Context(), m)
			require.NoError(w, err)
			require.ErrorIs(w, e.End(ctx, u, nil), store.ErrCorrupt)
			require.Error(w, ctx.Err())
		}
		pass(time.Hour)
		require.Empty(w, e.queues.tryNext(e.queues.topics["a"], "a", 1))
		begun := time.Now()
		stop()
		require.Zero(w, time.Since(begun))
		require.Len(w, w.open(), 3)
		require.Zero(w, w.open()[0].Worker, "another process may try")
		e.Unhost("a", 1)
	})
}

func TestRunTwice(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{})
		defer w.start(e)()
		require.ErrorContains(w, e.Run(w.Context()), "called twice")
	})
}

func TestStoppedBeforeItBegan(t *testing.T) {
	inBubble(t, func(w *world) {
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		require.NoError(w, w.engine(Config{}).Run(ctx))
		require.Empty(w, w.workers())
	})
}

// A store that is away at the start is told.
func TestStoreAwayAtTheStart(t *testing.T) {
	inBubble(t, func(w *world) {
		w.store.Plan(storetest.Always(storetest.Before))
		require.ErrorIs(w, w.engine(Config{}).Run(w.Context()), store.ErrUnavailable)
		w.store.Plan(nil)
	})
}

func TestNoStore(t *testing.T) {
	_, err := New(Config{})
	require.ErrorContains(t, err, "no store")
}
