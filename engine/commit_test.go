package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/doctor/doctortest"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/memory"
	"github.com/millrace-go/millrace/store/storetest"
)

//semantics:stores memory

// together commits n insertions by as many callers, while the store is held
// up; it returns once all of them wait.
func together(ctx context.Context, w *world, e *Engine, n int) (answers chan error) {
	answers = make(chan error, n)
	for range n {
		go func() {
			v, err := e.Commit(ctx, insertion("a", 1))
			if err == nil && v.Code != step.Applied {
				err = fmt.Errorf("it is %s", v.Code)
			}
			answers <- err
		}()
		synctest.Wait() // each takes its place before the next one comes
	}
	return answers
}

func TestWhoComesMeanwhileCommitsTogether(t *testing.T) {
	for _, c := range []struct {
		name    string
		cfg     Config
		commits int
	}{
		{"all", Config{}, 2},
		{"bounded in number", Config{Batch: 4}, 4},
		{"bounded in bytes", Config{BatchBytes: 2 * size(insertion("a", 1))}, 6},
		{"bounded in bytes, but never none", Config{BatchBytes: 1}, 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				g := newGate(w.inner)
				c.cfg.Store = g
				e := w.engine(c.cfg)
				answers := together(w.Context(), w, e, 11)
				for range 11 {
					g.open <- struct{}{}
				}
				for range 11 {
					require.NoError(w, <-answers)
				}
				require.Equal(w, c.commits, g.n)
				require.Len(w, w.open(), 11)
			})
		})
	}
}

// A caller who gives up while it waits is not stored, and one whose outcome is
// being committed learns what became of it.
func TestWithdrawal(t *testing.T) {
	inBubble(t, func(w *world) {
		g := newGate(w.inner)
		e := w.engine(Config{Store: g})
		leader, stopLeader := context.WithCancel(w.Context())
		led := together(leader, w, e, 1)
		impatient, stop := context.WithCancel(w.Context())
		gone := together(impatient, w, e, 2)
		stays := together(w.Context(), w, e, 2)
		stop()
		stopLeader()
		require.ErrorIs(w, <-gone, context.Canceled)
		require.ErrorIs(w, <-gone, context.Canceled)
		g.open <- struct{}{}
		g.open <- struct{}{}
		require.NoError(w, <-led, "it was in the batch")
		require.NoError(w, <-stays)
		require.NoError(w, <-stays)
		require.Equal(w, 2, g.n)
		require.Len(w, w.open(), 3)
	})
}

// One who gives up in the very moment in which it is to lead leads all the
// same: nobody is left waiting.
func TestWithdrawalOfTheNextLeader(t *testing.T) {
	for range 200 {
		inBubble(t, func(w *world) {
			g := newGate(w.inner)
			e := w.engine(Config{Store: g})
			first := together(w.Context(), w, e, 1)
			ctx, cancel := context.WithCancel(w.Context())
			second, third := together(ctx, w, e, 1), together(w.Context(), w, e, 1)
			g.after = cancel
			for range 3 {
				g.open <- struct{}{}
			}
			require.NoError(w, <-first)
			require.NoError(w, <-third)
			if err := <-second; err != nil {
				require.ErrorIs(w, err, context.Canceled)
				require.Len(w, w.open(), 2)
			} else {
				require.Len(w, w.open(), 3)
			}
		})
	}
}

// poisoned is a store that refuses whatever puts a message with the payload
// "poison".
type poisoned struct {
	store.Store
	refused atomic.Int64
	company atomic.Int64 // refused together with others
}

func (p *poisoned) Commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	poison := errors.New("value violates a constraint")
	bad := false
	err := p.Store.Commit(ctx, keys, func(s *store.Snapshot) *store.Changes {
		c := decide(s)
		for _, m := range c.PutMessages {
			bad = bad || string(m.Payload) == "poison"
		}
		if bad {
			p.refused.Add(1)
			if len(c.PutMessages) > 1 {
				p.company.Add(1)
			}
			return &store.Changes{}
		}
		return c
	})
	if bad {
		return poison
	}
	return err
}

// R6: what the store refuses commits alone, and takes nobody else down.
func TestPoisonInABatch(t *testing.T) {
	inBubble(t, func(w *world) {
		p := &poisoned{Store: w.inner}
		g := newGate(p)
		e := w.engine(Config{Store: g})
		first := together(w.Context(), w, e, 1)
		ctx, cancel := context.WithCancel(w.Context())
		bad := make(chan error, 2)
		for range 2 {
			go func() {
				out := insertion("a", 1)
				out.Sends[0].Payload = []byte("poison")
				_, err := e.Commit(ctx, out)
				bad <- err
			}()
		}
		synctest.Wait()
		good := together(w.Context(), w, e, 5)
		for range 2 {
			g.open <- struct{}{}
			synctest.Wait()
		}
		require.NoError(w, <-first)
		require.Empty(w, good, "the batch has failed")
		pass(time.Second) // all of it is queued again
		close(g.open)
		for range 5 {
			require.NoError(w, <-good)
		}
		refused := p.refused.Load()
		pass(time.Minute)
		require.Greater(w, p.refused.Load(), refused, "it is tried again")
		last := together(w.Context(), w, e, 1)
		require.NoError(w, <-last, "the others go on meanwhile")
		cancel()
		require.ErrorContains(w, <-bad, "constraint")
		require.ErrorContains(w, <-bad, "constraint")
		require.EqualValues(w, 1, p.company.Load(), "once was enough to tell")
		require.Len(w, w.open(), 7)
	})
}

// R5: an outage of the store delays, and loses nothing; nor is anything stored
// twice when it was the answer that got lost.
func TestCommitsOutliveAnOutage(t *testing.T) {
	for name, fault := range map[string]storetest.Fault{
		"before": storetest.Before, "after": storetest.After, "lost": storetest.Lost,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				e := w.engine(Config{})
				w.store.Plan(storetest.Always(fault, storetest.Commit))
				answers := together(w.Context(), w, e, 20)
				pass(time.Minute)
				require.Empty(w, answers)
				require.Less(w, w.store.Calls(storetest.Commit), 20*70*2, "the store is not hammered")
				w.store.Plan(nil)
				for range 20 {
					require.NoError(w, <-answers)
				}
				require.Len(w, w.open(), 20)
			})
		})
	}
}

// A store that was closed is no outage.
func TestClosedStoreIsToldAtOnce(t *testing.T) {
	e, err := New(Config{Store: memory.New(store.Options{})})
	require.NoError(t, err)
	require.NoError(t, e.Store().Close())
	_, err = e.Commit(t.Context(), insertion("a", 1))
	require.ErrorIs(t, err, store.ErrClosed)
}

// M7: what is over a limit is refused before anything is written.
func TestLimitsAreCheckedFirst(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Limits: step.Limits{Payload: 3}})
		out := insertion("a", 2)
		out.Sends[1].Payload = []byte("long")
		_, err := e.Commit(w.Context(), out)
		require.ErrorIs(w, err, step.ErrTooLarge)
		require.Zero(w, w.store.Calls(storetest.Commit))
	})
}

// Many callers, some of them impatient, on a store that fails at random: each
// outcome whose caller was told so is stored, and stored once.
//
// M2, R5
func TestCommitStress(t *testing.T) {
	const callers, each = 20, 50
	inner := memory.New(store.Options{})
	faulty := storetest.NewFaulty(inner, func(storetest.Call) storetest.Fault {
		return storetest.Fault(max(0, rand.IntN(40)-36))
	})
	e, err := New(Config{Store: faulty, Batch: 7, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	var all sync.WaitGroup
	var mu sync.Mutex
	stored := map[string]bool{} // by payload; false: unknown
	for i := range callers {
		all.Go(func() {
			for j := range each {
				out := insertion("a", 1)
				name := fmt.Sprint(i, "/", j)
				out.Sends[0].Payload = []byte(name)
				ctx, cancel := context.WithCancel(t.Context())
				if rand.IntN(10) == 0 {
					go cancel()
				}
				_, err := e.Commit(ctx, out)
				cancel()
				mu.Lock()
				stored[name] = err == nil
				mu.Unlock()
			}
		})
	}
	all.Wait()
	found, err := inner.Find(t.Context(), store.Query{Messages: &store.MessageQuery{}, Limit: 2 * callers * each})
	require.NoError(t, err)
	there := map[string]int{}
	for _, m := range found.Messages {
		there[string(m.Payload)]++
	}
	for name, sure := range stored {
		require.LessOrEqual(t, there[name], 1)
		if sure {
			require.Equal(t, 1, there[name], "an outcome was lost")
		}
	}
	doctortest.Check(t, inner)
	require.NoError(t, faulty.Close())
}
