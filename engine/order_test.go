package engine

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// ahead is a pipelined store whose commits are durable when the test says so.
type ahead struct {
	store.Store
	settles chan chan struct{}
}

func (a *ahead) CommitAhead(ctx context.Context, keys store.Keys, decide store.Decide) (func() error, error) {
	if err := a.Commit(ctx, keys, decide); err != nil {
		return nil, err
	}
	durable := make(chan struct{})
	a.settles <- durable
	return func() error { <-durable; return nil }, nil
}

// Of two batches on their way, the first is told first: what it brought forth
// is dropped by the second's end of the run.
//
// N1: messages not begun are dropped
func TestBatchesAreToldInTheirOrder(t *testing.T) {
	inBubble(t, func(w *world) {
		a := &ahead{w.inner, make(chan chan struct{}, 10)}
		e := w.engine(Config{Store: a})
		defer w.start(e)()
		e.Host("s", 1)
		go func() {
			_, _ = e.Commit(w.Context(), &step.Outcome{Verb: step.Begin, Start: &step.Start{RunID: "r", Task: "s/a", Nonce: "n"}})
		}()
		first := <-a.settles
		go func() {
			_, _ = e.Commit(w.Context(), &step.Outcome{Verb: step.Abort, Abort: &step.AbortOp{RunID: "r", Cancel: true}})
		}()
		second := <-a.settles
		close(second)
		synctest.Wait()
		close(first)
		go func() {
			for durable := range a.settles {
				close(durable)
			}
		}()
		defer close(a.settles)
		synctest.Wait()
		late, cancel := context.WithCancel(w.Context())
		go cancel()
		_, err := e.Next(late, "s")
		require.ErrorIs(w, err, context.Canceled)
		require.Empty(w, w.open())
	})
}

// A process that has the store to itself keeps two batches on their way;
// several keep one each.
func TestBatchesOverlapInOneProcessOnly(t *testing.T) {
	inBubble(t, func(w *world) {
		a := &ahead{w.inner, make(chan chan struct{}, 10)}
		e := w.engine(Config{Store: a})
		defer w.start(e)()
		two := func() (underway int) {
			answers := together(w.Context(), w, e, 1)
			second := together(w.Context(), w, e, 1)
			underway = len(a.settles)
			for _, answer := range []<-chan error{answers, second} {
				close(<-a.settles)
				require.NoError(w, <-answer)
			}
			return underway
		}
		require.Equal(w, 2, two())
		leave := w.start(w.engine(Config{}))
		pass(e.cfg.Lease)
		require.Equal(w, 1, two())
		leave()
		pass(e.cfg.Lease)
		require.Equal(w, 2, two())
	})
}
