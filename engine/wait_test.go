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

func (w *world) begin(e *Engine) int64 {
	w.Helper()
	v, err := e.Commit(w.Context(), &step.Outcome{Verb: step.Begin, Start: &step.Start{RunID: "r", Task: "a/x", Nonce: "n"}})
	require.NoError(w, err)
	return v.Run.Key
}

// N4: who waits for a run is told of its end at once, without polling.
func TestEndedIsTold(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Poll: idle})
		defer w.start(e)()
		release := make(chan struct{})
		defer w.handle(e, "a", 1, func(_ context.Context, u *step.Unit) error {
			<-release
			u.Decide(step.Finish{Result: []byte("r")})
			return nil
		})()
		key := w.begin(e)
		ended := make(chan *store.Run, 2)
		for range 2 {
			go func() {
				r, err := e.Ended(w.Context(), key)
				if err != nil {
					w.Error(err)
				}
				ended <- r
			}()
		}
		synctest.Wait()
		finds := w.store.Calls(storetest.Find)
		pass(time.Hour)
		require.Less(w, w.store.Calls(storetest.Find), finds+500, "looking after workers is all")
		at := time.Now()
		close(release)
		for range 2 {
			require.Equal(w, "r", string((<-ended).Result))
		}
		require.Zero(w, time.Since(at))
		require.Empty(w, e.waiters.runs, "nothing is left behind")
	})
}

// N4: a run that ends in another process is seen within Poll, also after an
// outage.
func TestEndedElsewhere(t *testing.T) {
	inBubble(t, func(w *world) {
		e, other := w.engine(Config{Poll: time.Second}), w.engine(Config{})
		key := w.begin(e)
		ended := make(chan error, 1)
		go func() {
			_, err := e.Ended(w.Context(), key)
			ended <- err
		}()
		w.store.Plan(storetest.Always(storetest.Before, storetest.Find))
		pass(time.Minute)
		w.store.Plan(nil)
		defer w.start(other)()
		defer w.handle(other, "a", 1, nil)()
		pass(2 * time.Second)
		require.NoError(w, <-ended)
	})
}

func TestEndedGivesUp(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{})
		key := w.begin(e)
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		_, err := e.Ended(ctx, key)
		require.ErrorIs(w, err, context.DeadlineExceeded)
		_, err = e.Ended(w.Context(), key+1000)
		require.ErrorIs(w, err, store.ErrNotFound)
		require.Empty(w, e.waiters.runs)
	})
}
