package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// L1: what is given back since nobody hosts it is not handed out too, to who
// is late to stop asking.
func TestNextAfterUnhost(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{})
		defer w.start(e)()
		ctx, cancel := context.WithCancel(w.Context())
		e.Host("a", 1)
		w.send(e, "a", 3)
		synctest.Wait()
		m, err := e.Next(ctx, "a") // as many as may run at once
		require.NoError(w, err)
		late := make(chan error)
		go func() {
			_, err := e.Next(ctx, "a")
			late <- err
		}()
		synctest.Wait()
		e.Unhost("a", 0)
		e.GiveBack(ctx, m) // one more could run
		pass(time.Second)
		cancel()
		require.ErrorIs(w, <-late, context.Canceled)
		for _, m := range w.open() {
			require.Zero(w, m.Worker)
		}
	})
}
