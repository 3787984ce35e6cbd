package engine

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// R5: an outcome that can't be stored in any way, since a row that it needs is
// damaged, is told as such, and its handler is not entered again and again.
func TestNoOutcomeCanBeStored(t *testing.T) {
	inBubble(t, func(w *world) {
		lock := store.RowKey{Kind: store.Lock, Owner: "=k"}
		change := func(c *store.Changes) {
			require.NoError(w, w.inner.Commit(w.Context(), store.Keys{}, func(*store.Snapshot) *store.Changes { return c }))
		}
		e := w.engine(Config{})
		stop := w.start(e)
		e.Host("a", 1)
		out := insertion("a", 1)
		out.Sends[0].Key = "k"
		w.sendAs(e, out)
		m, err := e.Next(w.Context(), "a")
		require.NoError(w, err)
		ctx, u, err := e.Begin(w.Context(), m)
		require.NoError(w, err)
		change(&store.Changes{PutRows: []*store.Row{{RowKey: lock, Body: []byte{0xff}}}})
		require.ErrorIs(w, e.End(ctx, u, nil), store.ErrCorrupt)
		pass(3 * reconcileEvery)
		late, cancel := context.WithCancel(w.Context())
		cancel()
		synctest.Wait()
		_, err = e.Next(late, "a")
		require.ErrorIs(w, err, context.Canceled)
		stop()
		change(&store.Changes{DeleteRows: []store.RowKey{lock}})
		require.Len(w, w.open(), 1)
	})
}
