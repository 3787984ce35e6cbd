package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
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

// world is a database and the engines on it, in a bubble whose time passes
// only when everybody waits.
type world struct {
	*testing.T
	store *storetest.Faulty // that all engines use
	inner store.Store       // the same one, never at fault

	mu   sync.Mutex
	runs map[string]int // executions, by payload
}

// inBubble runs a test on an empty database, and verifies conservation (M9)
// at its end.
func inBubble(t *testing.T, test func(*world)) {
	t.Helper()
	inBubbleWith(t, nil, test)
}

// inBubbleWith is inBubble with a clock of the store's own.
func inBubbleWith(t *testing.T, clock func() time.Time, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		inner := memory.New(store.Options{Now: clock})
		w := &world{T: t, store: storetest.NewFaulty(inner, nil), inner: inner, runs: map[string]int{}}
		test(w)
		if !t.Failed() {
			doctortest.Check(t, inner)
		}
		require.NoError(t, w.store.Close())
	})
}

// engine returns an engine that is not running.
func (w *world) engine(cfg Config) *Engine {
	w.Helper()
	if cfg.Store == nil {
		cfg.Store = w.store
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	e, err := New(cfg)
	require.NoError(w, err)
	return e
}

// start runs an engine until the returned function is called.
func (w *world) start(e *Engine) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	synctest.Wait()
	return sync.OnceFunc(func() {
		cancel()
		require.NoError(w, <-done)
	})
}

// handler is what a test does in a step.
type handler func(ctx context.Context, u *step.Unit) error

// handle runs the messages of a topic, n at once, until the returned function
// is called. It counts executions by payload.
func (w *world) handle(e *Engine, topic string, n int, h handler) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	e.Host(topic, n)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for {
				m, err := e.Next(ctx, topic)
				if err != nil {
					return
				}
				w.execute(e, m, h)
			}
		})
	}
	synctest.Wait()
	return sync.OnceFunc(func() {
		cancel()
		all.Wait()
		e.Unhost(topic, n)
	})
}

// execute does what the middlewares do with a message.
func (w *world) execute(e *Engine, m *store.Message, h handler) {
	ctx, u, err := e.Begin(context.Background(), m)
	if u == nil {
		return
	}
	if err == nil {
		w.count(string(m.Payload))
		if h != nil {
			err = h(ctx, u)
		}
		if ctx.Err() != nil && err != nil {
			err = step.ErrInterrupted
		}
	}
	if err := e.End(ctx, u, err); err != nil && !errors.Is(err, store.ErrLeaseLost) {
		w.Errorf("end of message %s: %v", m.ID, err)
	}
}

func (w *world) count(payload string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs[payload]++
}

// ran returns the executions, by payload.
func (w *world) ran() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.runs)
}

// insertion makes plain messages with the payloads "0", "1" and so on.
func insertion(topic string, n int) *step.Outcome {
	out := &step.Outcome{Verb: step.Insert, Source: &step.Source{Consumer: "test", ID: step.NewID(0)}}
	for i := range n {
		out.Sends = append(out.Sends, step.Send{Topic: topic, Payload: fmt.Append(nil, i)})
	}
	return out
}

// send puts n messages into the store by way of e.
func (w *world) send(e *Engine, topic string, n int) {
	w.Helper()
	w.sendAs(e, insertion(topic, n))
}

func (w *world) sendAs(e *Engine, out *step.Outcome) {
	w.Helper()
	v, err := e.Commit(w.Context(), out)
	require.NoError(w, err)
	require.Equal(w, step.Applied, v.Code)
}

// ranOnce fails the test unless the messages "0" to "n-1" were run once each.
func (w *world) ranOnce(n int) {
	w.Helper()
	ran := w.ran()
	for i := range n {
		require.Equal(w, 1, ran[fmt.Sprint(i)], "executions of message %d", i)
	}
	require.Len(w, ran, n)
}

// open returns the stored messages.
func (w *world) open() []*store.Message {
	w.Helper()
	found, err := w.inner.Find(context.Background(), store.Query{Messages: &store.MessageQuery{}, Limit: 10_000})
	require.NoError(w, err)
	return found.Messages
}

func (w *world) workers() []store.Worker {
	w.Helper()
	found, err := w.inner.Find(context.Background(), store.Query{Workers: &store.WorkerQuery{}})
	require.NoError(w, err)
	return found.Workers
}

// died closes a worker, as others do when its lease has ended.
func (w *world) died(key int64) {
	w.Helper()
	_, err := w.inner.Reap(context.Background(), store.Reap{Workers: []int64{key}, Limit: 10_000})
	require.NoError(w, err)
}

// pass lets time go by, and everybody come to rest.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// gate is a store whose commits wait for a word.
type gate struct {
	store.Store
	open  chan struct{} // one for each commit that may go on
	after func()        // called when a commit has taken effect
	n     int           // commits begun
}

func newGate(s store.Store) *gate {
	return &gate{Store: s, open: make(chan struct{}, 100)}
}

func (g *gate) Commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	g.n++ // one commits at a time
	<-g.open
	err := g.Store.Commit(ctx, keys, decide)
	if g.after != nil {
		g.after()
	}
	return err
}
