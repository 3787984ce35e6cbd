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

// F9: a chunk of which nobody knows whether it was staged, since the handler's
// time was up before the store was back, does not stay behind.
func TestChunkThatWasStagedUnknown(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{})
		defer w.start(e)()
		defer w.handle(e, "a", 1, func(ctx context.Context, u *step.Unit) error {
			if u.Message.Attempt > 0 {
				return nil
			}
			w.store.Plan(storetest.Always(storetest.After, storetest.Commit))
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			err := u.Stage(ctx, 0, []step.Send{{Topic: "a"}})
			require.Error(w, err)
			w.store.Plan(nil)
			return &step.RetryError{Err: errors.New("out of time")}
		})()
		w.send(e, "a", 1)
		synctest.Wait()
		pass(time.Minute)
		require.Equal(w, 2, w.ran()["0"])
		found, err := w.inner.Find(w.Context(), store.Query{Rows: &store.RowQuery{Kind: store.Chunk, AllOwners: true}})
		require.NoError(w, err)
		require.Empty(w, found.Rows)
	})
}
