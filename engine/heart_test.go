package engine

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/storetest"
)

//semantics:stores memory

func TestWorkerStaysAlive(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Lease: 30 * time.Second})
		stop := w.start(e)
		key := e.Worker()
		require.NotZero(w, key)
		for range 20 {
			pass(29 * time.Second)
			require.Len(w, w.workers(), 1)
			require.Equal(w, key, w.workers()[0].Key)
			require.Greater(w, w.workers()[0].Until, store.At(time.Now()))
			_, err := w.inner.Reap(w.Context(), store.Reap{Expired: true})
			require.NoError(w, err)
		}
		require.Equal(w, key, e.Worker())
		stop()
		require.Empty(w, w.workers())
		require.Zero(w, e.Worker())
	})
}

// A beat that fails is repeated soon, before the lease runs out.
//
// R5
func TestBeatsThatFailAreRepeated(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Lease: 30 * time.Second})
		defer w.start(e)()
		key := e.Worker()
		w.store.Plan(storetest.Always(storetest.Before, storetest.Beat))
		pass(28 * time.Second)
		w.store.Plan(nil)
		pass(time.Second + 100*time.Millisecond)
		require.Greater(w, w.workers()[0].Until, store.At(time.Now().Add(20*time.Second)))
		require.Equal(w, key, e.Worker())
	})
}

// M5, M3: a worker that was closed goes on as a new one. Its handlers are cut
// short, what they return changes nothing, and all of it is run again.
func TestLostLease(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Lease: 30 * time.Second, Poll: time.Second})
		defer w.start(e)()
		entered, release := make(chan *step.Unit, 10), make(chan struct{})
		defer w.handle(e, "a", 2, func(ctx context.Context, u *step.Unit) error {
			entered <- u
			if w.ran()["0"] == 1 { // the first one does not heed its context
				<-release
				require.Error(w, ctx.Err())
				u.Decide(step.Send{Topic: "a", Payload: []byte("must not be")})
			}
			return nil
		})()
		w.send(e, "a", 1)
		old := <-entered
		key := e.Worker()
		w.died(key)
		pass(30 * time.Second)
		require.NotEqual(w, key, e.Worker())
		require.NotZero(w, e.Worker())
		require.Equal(w, old.Message.Seq, (<-entered).Message.Seq)
		close(release)
		synctest.Wait()
		require.Equal(w, map[string]int{"0": 2}, w.ran())
		require.Empty(w, w.open())
	})
}

// M5: the end of an execution that the lost lease has cut short is not that of
// the one that the same process has begun since, whatever it says.
func TestLateEndOfALostLease(t *testing.T) {
	for name, late := range map[string]error{
		"done": nil, "interrupted": step.ErrInterrupted,
		"retry": &step.RetryError{Err: context.Canceled}, "rejected": context.Canceled,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				e := w.engine(Config{Lease: 30 * time.Second, Poll: time.Second})
				defer w.start(e)()
				e.Host("a", 2)
				defer e.Unhost("a", 2)
				w.send(e, "a", 1)
				begin := func() (context.Context, *step.Unit) {
					m, err := e.Next(w.Context(), "a")
					require.NoError(w, err)
					ctx, u, err := e.Begin(w.Context(), m)
					require.NoError(w, err)
					return ctx, u
				}
				oldCtx, old := begin()
				w.died(e.Worker())
				pass(30 * time.Second)
				require.Error(w, oldCtx.Err())
				ctx, anew := begin()
				require.ErrorIs(w, e.End(oldCtx, old, late), store.ErrLeaseLost)
				synctest.Wait()
				require.NoError(w, ctx.Err(), "the new one is not disturbed")
				require.Len(w, w.open(), 1)
				require.Equal(w, e.Worker(), w.open()[0].Worker)
				require.NoError(w, e.End(ctx, anew, nil))
				require.Empty(w, w.open())
			})
		})
	}
}

// M5: a message that was handed out just before the lease was lost is not begun.
func TestLeaseLostBeforeBegin(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Lease: 30 * time.Second, Poll: time.Second})
		defer w.start(e)()
		e.Host("a", 1)
		w.send(e, "a", 1)
		m, err := e.Next(w.Context(), "a")
		require.NoError(w, err)
		w.died(e.Worker())
		pass(30 * time.Second)
		_, u, err := e.Begin(w.Context(), m)
		require.ErrorIs(w, err, step.ErrNotMine)
		require.Nil(w, u)
		e.Unhost("a", 1)
		defer w.handle(e, "a", 1, nil)()
		pass(time.Second)
		w.ranOnce(1)
	})
}

// A worker that was closed, and then found the store away, comes back.
//
// R5
func TestLostLeaseInAnOutage(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Lease: 30 * time.Second, Poll: time.Second})
		defer w.start(e)()
		defer w.handle(e, "a", 1, nil)()
		w.died(e.Worker())
		beats := 0
		w.store.Plan(func(c storetest.Call) storetest.Fault {
			if c.Method != storetest.Beat {
				return storetest.None
			}
			if beats++; beats == 2 { // the first one says that the lease was lost
				return storetest.Before
			}
			return storetest.None
		})
		w.send(e, "a", 5)
		pass(time.Minute)
		w.ranOnce(5)
		require.Len(w, w.workers(), 1)
		require.Equal(w, w.workers()[0].Key, e.Worker())
	})
}

// stranger registers a worker of another host that holds a message.
func (w *world) stranger(e *Engine, lease time.Duration) store.Worker {
	w.Helper()
	s := store.Worker{Host: "elsewhere", Boot: "another", PidNS: "another", PID: 1, Born: "1"}
	b, err := w.inner.Beat(w.Context(), store.Beat{Worker: s, Lease: lease})
	require.NoError(w, err)
	s.Key = b.Key
	w.send(e, "a", 1)
	got, err := w.inner.Grab(w.Context(), store.Grab{Worker: s.Key, Topics: []string{"a"}, Limit: 1})
	require.NoError(w, err)
	require.Len(w, got.Messages, 1)
	return s
}

// M5: what a worker held that died is run by others, once its lease has ended.
func TestDeadWorkerIsClosed(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Lease: 30 * time.Second, Poll: time.Second})
		w.stranger(e, 45*time.Second)
		defer w.start(e)()
		defer w.handle(e, "a", 1, nil)()
		pass(44 * time.Second)
		require.Empty(w, w.ran(), "its lease has not ended")
		pass(30 * time.Second)
		w.ranOnce(1)
		require.Len(w, w.workers(), 1)
	})
}

// M5: after an outage nobody is closed before a full lease period has passed,
// whether the store failed meanwhile or kept everybody waiting.
func TestNobodyIsClosedForAnOutage(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		t.Run(map[bool]string{false: "calls fail", true: "calls hang"}[hangs], func(t *testing.T) {
			inBubble(t, func(w *world) {
				lazy := &hanging{Store: w.store}
				e := w.engine(Config{Store: lazy, Lease: 30 * time.Second, Poll: time.Second})
				defer w.start(e)()
				pass(35 * time.Second) // it may close others by now
				s := w.stranger(e, 30*time.Second)
				if hangs {
					lazy.hang()
				} else {
					w.store.Plan(storetest.Always(storetest.Before))
				}
				pass(2 * time.Minute)
				w.store.Plan(nil)
				lazy.goOn()
				pass(11 * time.Second)
				require.Len(w, w.workers(), 2, "it could not beat")
				_, err := w.inner.Beat(w.Context(), store.Beat{Worker: s, Lease: 10 * time.Second})
				require.NoError(w, err)
				defer w.handle(e, "a", 1, nil)()
				pass(time.Minute)
				require.Len(w, w.workers(), 1, "now it is dead")
				w.ranOnce(1)
			})
		})
	}
}

// hanging is a store whose calls can be made to wait.
type hanging struct {
	store.Store
	mu   sync.Mutex
	gate chan struct{}
}

func (h *hanging) hang() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate = make(chan struct{})
}

func (h *hanging) goOn() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gate != nil {
		close(h.gate)
		h.gate = nil
	}
}

func (h *hanging) wait() {
	h.mu.Lock()
	gate := h.gate
	h.mu.Unlock()
	if gate != nil {
		<-gate
	}
}

func (h *hanging) Beat(ctx context.Context, b store.Beat) (store.Beaten, error) {
	h.wait()
	return h.Store.Beat(ctx, b)
}

func (h *hanging) Find(ctx context.Context, q store.Query) (store.Found, error) {
	h.wait()
	return h.Store.Find(ctx, q)
}

func (h *hanging) Reap(ctx context.Context, r store.Reap) (store.Reaped, error) {
	h.wait()
	return h.Store.Reap(ctx, r)
}

// A process that stood still itself, as a laptop that was shut, closes nobody
// for it either.
//
// M5
func TestPausedProcessClosesNobody(t *testing.T) {
	clock := clockwork.NewFakeClock()
	inBubbleWith(t, clock.Now, func(w *world) {
		e := w.engine(Config{Clock: clock, Lease: 30 * time.Second, Poll: time.Second})
		defer w.start(e)()
		for range 4 {
			clock.Advance(10 * time.Second)
			synctest.Wait()
		}
		w.stranger(e, 30*time.Second)
		clock.Advance(time.Hour)
		synctest.Wait()
		require.Len(w, w.workers(), 2)
		require.NotZero(w, e.Worker())
		for range 4 {
			clock.Advance(10 * time.Second)
			synctest.Wait()
		}
		require.Len(w, w.workers(), 1, "the other one stays away")
	})
}

// A worker of this machine whose process is gone is closed at once; what
// unknown workers hold is freed at the start.
func TestGoneWorkersAreClosedAtOnce(t *testing.T) {
	if thisProcess().Born == "" {
		t.Skip("the system does not tell about processes")
	}
	inBubble(t, func(w *world) {
		e := w.engine(Config{Lease: time.Hour, Poll: time.Second})
		s := thisProcess()
		s.Born = "an earlier process with this number"
		b, err := w.inner.Beat(w.Context(), store.Beat{Worker: s, Lease: time.Hour})
		require.NoError(w, err)
		w.send(e, "a", 1)
		_, err = w.inner.Grab(w.Context(), store.Grab{Worker: b.Key, Topics: []string{"a"}, Limit: 1})
		require.NoError(w, err)
		defer w.start(e)()
		defer w.handle(e, "a", 1, nil)()
		synctest.Wait()
		w.ranOnce(1)
		require.Len(w, w.workers(), 1)
	})
}

// M5: what a dead worker held is freed even if the answer to its closing was
// lost: nobody is told of it again.
func TestLostAnswerToClosing(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Lease: 30 * time.Second, Poll: time.Second})
		begun := time.Now()
		w.stranger(e, 25*time.Second)
		defer w.start(e)()
		defer w.handle(e, "a", 1, nil)()
		lost := false
		w.store.Plan(func(c storetest.Call) storetest.Fault {
			if closing := time.Since(begun) > 29*time.Second; c.Method != storetest.Reap || !closing || lost {
				return storetest.None
			}
			lost = true
			return storetest.After
		})
		pass(44 * time.Second)
		require.True(w, lost)
		require.Len(w, w.workers(), 1, "it was closed")
		pass(time.Minute)
		w.ranOnce(1)
	})
}
