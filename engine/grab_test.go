package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/storetest"
)

//semantics:stores memory

// idle is a Poll after which a test would notice that nobody was woken.
const idle = 24 * time.Hour

// What a commit of this process frees is run at once, also what it has no
// room to hold: no polling, no lost wake-up.
//
// L6
func TestCommitsWakeTheGrabber(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: idle, Hold: 4})
		defer w.start(e)()
		defer w.handle(e, "a", 2, nil)()
		begun := time.Now()
		w.send(e, "a", 100)
		synctest.Wait()
		w.ranOnce(100)
		require.Zero(w, time.Since(begun))
	})
}

// Messages that are there when a topic is hosted are run at once.
func TestHostingWakesTheGrabber(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: idle})
		w.send(e, "a", 3) // before Run: they wait in the store
		defer w.start(e)()
		w.send(e, "b", 3)
		defer w.handle(e, "a", 1, nil)()
		synctest.Wait()
		w.ranOnce(3)
		require.Len(w, w.open(), 3)
	})
}

// What other processes put there is seen within Poll, and then run to the end
// without waiting again.
func TestPollFindsWorkOfOthers(t *testing.T) {
	inBubble(t, func(w *world) {
		e, other := w.engine(Config{Poll: time.Second, Hold: 4}), w.engine(Config{})
		defer w.start(e)()
		defer w.handle(e, "a", 2, nil)()
		w.send(other, "a", 50)
		synctest.Wait()
		require.Empty(w, w.ran())
		pass(time.Second)
		w.ranOnce(50)
	})
}

// T1: neither early nor late, a second away or a year, and with no polling.
func TestDueMessagesRunWhenTheyAreDue(t *testing.T) {
	for _, d := range []time.Duration{time.Second, 3 * 24 * time.Hour, 365 * 24 * time.Hour} {
		t.Run(d.String(), func(t *testing.T) {
			inBubble(t, func(w *world) {
				e := w.engine(Config{Poll: 1000 * 24 * time.Hour, Lease: 30 * 24 * time.Hour})
				defer w.start(e)()
				var at time.Time
				defer w.handle(e, "a", 1, func(context.Context, *step.Unit) error { at = time.Now(); return nil })()
				due := time.Now().Add(d)
				out := insertion("a", 1)
				out.Sends[0].After = d
				w.sendAs(e, out)
				pass(d / 2)
				w.send(e, "b", 1) // nobody's
				require.Empty(w, w.ran())
				pass(d)
				require.False(w, at.Before(due), "it ran early")
				require.Less(w, at.Sub(due), 10*time.Millisecond)
			})
		})
	}
}

// A message that falls due before what the grabber sleeps for wakes it.
func TestSoonerDueWakesTheGrabber(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: idle})
		defer w.start(e)()
		defer w.handle(e, "a", 1, nil)()
		for i, after := range []time.Duration{time.Hour, time.Minute, 2 * time.Minute} {
			out := insertion("a", 1)
			out.Sends[0].After, out.Sends[0].Payload = after, []byte{byte('0' + i)}
			w.sendAs(e, out)
			synctest.Wait()
		}
		pass(time.Minute + 10*time.Millisecond)
		require.Equal(w, map[string]int{"1": 1}, w.ran())
		pass(time.Minute)
		require.Equal(w, map[string]int{"1": 1, "2": 1}, w.ran())
		pass(time.Hour)
		w.ranOnce(3)
	})
}

// A topic whose room is taken up by slow handlers keeps no other one back.
//
// J2
func TestFullTopicStarvesNoOther(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: idle, Hold: 4})
		w.send(e, "slow", 20)
		defer w.start(e)()
		release := make(chan struct{})
		defer w.handle(e, "slow", 1, func(context.Context, *step.Unit) error { <-release; return nil })()
		synctest.Wait()
		fast := 0
		defer w.handle(e, "fast", 1, func(context.Context, *step.Unit) error { fast++; return nil })()
		w.send(e, "fast", 20)
		synctest.Wait()
		require.Equal(w, 20, fast)
		close(release)
		synctest.Wait()
		require.Empty(w, w.open())
	})
}

// A caller's own transaction is found soon after it was committed.
//
// L5
func TestNudge(t *testing.T) {
	inBubble(t, func(w *world) {
		e, other := w.engine(Config{Poll: idle}), w.engine(Config{})
		defer w.start(e)()
		defer w.handle(e, "a", 1, nil)()
		e.Nudge()
		pass(100 * time.Millisecond)
		w.send(other, "a", 1) // stands for the transaction
		pass(500 * time.Millisecond)
		w.ranOnce(1)
		calls := w.store.Calls(storetest.Grab)
		pass(time.Hour)
		require.LessOrEqual(w, w.store.Calls(storetest.Grab), calls+2, "it comes to rest")
	})
}

// R5: grabs that fail are repeated; what one took, and could not tell, is
// taken up.
func TestGrabsThatFail(t *testing.T) {
	for name, fault := range map[string]storetest.Fault{"before": storetest.Before, "after": storetest.After} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				e := w.engine(Config{Poll: idle})
				w.send(e, "a", 10)
				w.store.Plan(storetest.Always(fault, storetest.Grab))
				defer w.start(e)()
				defer w.handle(e, "a", 3, nil)()
				pass(time.Minute)
				w.store.Plan(nil)
				pass(5 * time.Second)
				w.ranOnce(10)
			})
		})
	}
}

// Messages of a stopped run are not handed out, whoever stopped it.
//
// N1
func TestGrabbedMessagesOfStoppedRunsAreDropped(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: time.Second})
		v, err := e.Commit(w.Context(), &step.Outcome{Verb: step.Begin, Start: &step.Start{RunID: "r", Task: "a/x", Nonce: "n"}})
		require.NoError(w, err)
		require.Equal(w, step.Applied, v.Code)
		_, err = e.Commit(w.Context(), &step.Outcome{Verb: step.Abort, Abort: &step.AbortOp{RunID: "r", Reason: "enough", Cancel: true}})
		require.NoError(w, err)
		defer w.start(e)()
		defer w.handle(e, "a", 1, nil)()
		pass(10 * time.Second)
		require.Empty(w, w.ran())
		require.Empty(w, w.open())
		r, err := e.Ended(w.Context(), v.Run.Key)
		require.NoError(w, err)
		require.Equal(w, store.Cancelled, r.Status)
	})
}
