package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/storetest"
)

//semantics:stores memory

// fakeRelay is a relay that a test looks into.
type fakeRelay struct {
	window  atomic.Int64
	publish func([]*store.Message) // what it does with what is published

	mu   sync.Mutex
	sent []*store.Message
}

func newFakeRelay(window int64) *fakeRelay {
	r := &fakeRelay{}
	r.window.Store(window)
	return r
}

func (r *fakeRelay) Run(ctx, _ context.Context) { <-ctx.Done() }

func (r *fakeRelay) Windows() (rooms map[string]int, others int) { return nil, int(r.window.Load()) }

func (r *fakeRelay) Served() map[string]bool { return nil }

func (r *fakeRelay) InCommit([]*store.Message) []store.Publication { return nil }

func (r *fakeRelay) Noted(string) {}

func (r *fakeRelay) Publish(ms []*store.Message) {
	r.mu.Lock()
	r.sent = append(r.sent, ms...)
	r.mu.Unlock()
	if r.publish != nil {
		r.publish(ms)
	}
}

// jobs are messages to a task that nobody here carries out.
func jobs(n int) *step.Outcome {
	out := insertion("far", n)
	for i := range out.Sends {
		out.Sends[i].Task = "far/task"
	}
	return out
}

// The outcome of a message comes in the moment in which it goes to the broker
// once more: both take it out of memory, and each only once.
//
// M2
func TestOutcomeComesWhileItsMessageIsPublished(t *testing.T) {
	inBubble(t, func(w *world) {
		r := newFakeRelay(10)
		e := w.engine(Config{Relay: r, Republish: time.Second})
		r.publish = func(ms []*store.Message) {
			if ms[0].Published < 2 {
				return
			}
			m, exists, err := e.ClaimOne(w.Context(), ms[0].Seq)
			require.NoError(w, err)
			require.True(w, exists)
			require.NotNil(w, m)
			go func() { _ = e.EndWithin(context.Background(), &step.Unit{Message: m}, nil) }()
		}
		stop := w.start(e)
		w.sendAs(e, jobs(1))
		e.HostAway("far")
		pass(2 * time.Second)
		m, err := e.Next(w.Context(), "far")
		require.NoError(w, err)
		require.NoError(w, e.Publish(w.Context(), m))
		pass(time.Millisecond)
		require.Empty(w, w.open())
		require.Zero(w, e.queues.running)
		require.Empty(w, e.queues.inside)
		require.Zero(w, e.queues.topics["far"].running)
		stop()
	})
}

// What the broker has no room for stays free in the store.
//
// L6
func TestNothingIsHeldForAClosedWindow(t *testing.T) {
	inBubble(t, func(w *world) {
		r := newFakeRelay(0)
		e := w.engine(Config{Relay: r})
		stop := w.start(e)
		w.sendAs(e, jobs(200))
		e.HostAway("far")
		pass(5 * time.Second)
		held := func() (n int) {
			for _, m := range w.open() {
				if m.Held() {
					n++
				}
			}
			return n
		}
		require.Zero(w, held())
		r.window.Store(3)
		pass(5 * time.Second)
		require.Equal(w, 3, held())
		r.window.Store(1000)
		pass(5 * time.Second)
		require.Equal(w, awayHold, held())
		stop()
	})
}

// A store that is away keeps neither publication nor end of a message beyond
// the relay's time.
//
// L1
func TestRelayGivesUpWhenItsTimeIsOver(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{Relay: newFakeRelay(10), Republish: time.Second})
		stop := w.start(e)
		w.sendAs(e, jobs(2))
		e.HostAway("far")
		pass(2 * time.Second)
		first, err := e.Next(w.Context(), "far")
		require.NoError(w, err)
		second, err := e.Next(w.Context(), "far")
		require.NoError(w, err)
		w.store.Plan(storetest.Always(storetest.Before))
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		require.Error(w, e.Publish(ctx, first))
		require.Error(w, e.EndWithin(ctx, &step.Unit{Message: second}, nil))
		w.store.Plan(nil)
		stop()
	})
}

// A claim takes no more bytes at once than it may, and all in the end.
//
// L6
func TestLargeClaimGoesInPieces(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{HoldBytes: 4096})
		out := insertion("topic", 20)
		for i := range out.Sends {
			out.Sends[i].Payload = append(out.Sends[i].Payload, make([]byte, 1000)...)
		}
		w.sendAs(e, out)
		var seqs []int64
		for _, m := range w.open() {
			seqs = append(seqs, m.Seq)
		}
		require.NoError(w, e.register(w.Context()))
		e.queues.host("topic", 1)
		claimed := make(chan error, 1)
		go func() { claimed <- e.Claim(w.Context(), "topic", seqs) }()
		for range seqs {
			m, err := e.Next(w.Context(), "topic")
			require.NoError(w, err)
			require.LessOrEqual(w, w.waiting(e, "topic"), 2*4096)
			require.NoError(w, e.End(w.Context(), &step.Unit{Message: m}, nil))
		}
		require.NoError(w, <-claimed)
		require.Empty(w, w.open())
	})
}

// waiting returns how many bytes wait in memory for handlers of a topic.
func (w *world) waiting(e *Engine, topic string) int {
	e.queues.mu.Lock()
	defer e.queues.mu.Unlock()
	return e.queues.topics[topic].bytes
}
