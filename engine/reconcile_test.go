package engine

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/storetest"
)

//semantics:stores memory

// hops is how many messages a chain of relay has.
const hops = 4

// relay sends each message on until there were enough of them.
func relay(_ context.Context, u *step.Unit) error {
	if n := len(u.Message.Payload); n < hops {
		u.Decide(step.Send{Topic: "a", Payload: append(u.Message.Payload[:n:n], '+')})
	}
	return nil
}

// Whichever call of the store fails, and whether it took effect or not: all
// that was begun is finished, each message once, long before the lease ends.
//
// M3, M5, R5
func TestNoFailingCallStrandsAnything(t *testing.T) {
	for name, fault := range map[string]storetest.Fault{
		"before": storetest.Before, "after": storetest.After, "lost": storetest.Lost,
	} {
		for n := 1; n <= 30; n++ {
			t.Run(fmt.Sprint(name, "/", n), func(t *testing.T) {
				inBubble(t, func(w *world) {
					e := w.engine(Config{Poll: time.Second, Lease: 10 * time.Minute})
					defer w.start(e)()
					defer w.handle(e, "a", 2, relay)()
					w.store.Plan(storetest.NthOfAll(w.store.Total()+n, fault))
					out := insertion("a", 1)
					out.Sends[0].Payload = []byte("+")
					w.sendAs(e, out)
					pass(30 * time.Second)
					require.Equal(w, map[string]int{"+": 1, "++": 1, "+++": 1, "++++": 1}, w.ran())
					require.Empty(w, w.open())
				})
			})
		}
	}
}

// held makes the store say that e holds a message that e does not know of.
func (w *world) held(e *Engine, topic string) {
	w.Helper()
	w.send(w.engine(Config{}), topic, 1)
	got, err := w.inner.Grab(w.Context(), store.Grab{Worker: e.Worker(), Topics: []string{topic}, Limit: 1})
	require.NoError(w, err)
	require.Len(w, got.Messages, 1)
}

// What is held and not in memory is taken up at the second look.
//
// M5
func TestStrandedMessageIsTakenUp(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: idle})
		defer w.start(e)()
		defer w.handle(e, "a", 1, nil)()
		w.held(e, "a")
		pass(time.Minute)
		require.Empty(w, w.ran(), "nobody has said so")
		e.lost.raise()
		synctest.Wait()
		e.lost.raise()
		synctest.Wait()
		require.Empty(w, w.ran(), "one look, or two at once, decide nothing")
		pass(time.Second)
		w.ranOnce(1)
	})
}

// Even if nothing says that an answer was lost.
func TestStrandedMessageIsTakenUpInTheEnd(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: idle})
		defer w.start(e)()
		defer w.handle(e, "a", 1, nil)()
		w.held(e, "a")
		pass(reconcileEvery + time.Minute)
		w.ranOnce(1)
	})
}

// What is held for a topic that nobody hosts here is given back.
func TestStrayIsGivenBack(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: idle})
		defer w.start(e)()
		w.held(e, "a")
		e.lost.raise()
		pass(2 * time.Second)
		require.Zero(w, w.open()[0].Worker)
		defer w.handle(e, "a", 1, nil)()
		synctest.Wait()
		w.ranOnce(1)
	})
}

// slowToTell is a store that commits at once and answers later.
type slowToTell struct {
	store.Store
	by time.Duration
}

func (s slowToTell) Commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	err := s.Store.Commit(ctx, keys, decide)
	<-time.After(s.by)
	return err
}

// However long an answer takes, what it brings is not taken up meanwhile: it
// would be run twice.
//
// M3
func TestWhatIsOnItsWayIsNotTakenUp(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Store: slowToTell{w.store, 10 * time.Second}, Poll: idle})
		defer w.start(e)()
		defer w.handle(e, "a", 2, func(context.Context, *step.Unit) error { <-time.After(time.Minute); return nil })()
		go w.send(e, "a", 3)
		for range 9 {
			pass(time.Second)
			e.lost.raise()
			require.Empty(w, w.ran(), "the commit is not known yet")
		}
		pass(5 * time.Minute)
		w.ranOnce(3)
	})
}

// R5
func TestReconciliationOutlivesAnOutage(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: idle})
		defer w.start(e)()
		defer w.handle(e, "a", 1, nil)()
		w.held(e, "a")
		w.store.Plan(storetest.Always(storetest.Before, storetest.Find))
		e.lost.raise()
		pass(time.Minute)
		w.store.Plan(nil)
		pass(5 * time.Second)
		w.ranOnce(1)
	})
}
