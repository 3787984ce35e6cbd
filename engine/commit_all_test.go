package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store/storetest"
)

// Who commits more than a batch leads the second one too, also when the first
// one is to be tried again: nobody is left waiting.
//
// R5: errors of the store lose nothing
func TestMoreThanABatchOutlivesAnOutage(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Batch: 2})
		outs := make([]*step.Outcome, 5)
		for i := range outs {
			outs[i] = insertion("a", 1)
		}
		w.store.Plan(storetest.Always(storetest.Before, storetest.Commit))
		done := make(chan []answer, 1)
		go func() { done <- e.commits.all(w.Context(), outs) }()
		pass(time.Second)
		w.store.Plan(nil)
		pass(time.Minute)
		require.Len(w, done, 1, "the committer stands still")
		for _, a := range <-done {
			require.NoError(w, a.err)
			require.Equal(w, step.Applied, a.verdict.Code)
		}
		require.Len(w, w.open(), 5)
	})
}
