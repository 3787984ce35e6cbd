package native_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/doctor/doctortest"
	"github.com/millrace-go/millrace/engine"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/memory"
	"github.com/millrace-go/millrace/store/sqlite"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/native"
	"github.com/millrace-go/millrace/transports/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// transport is the native transport with all that it needs.
type transport struct {
	engine *engine.Engine
	store  store.Store
	stop   func()

	mu   sync.Mutex
	subs []*native.Subscriber
}

func (tr *transport) Publisher() (message.Publisher, error) {
	return native.NewPublisher(tr.engine), nil
}

func (tr *transport) Subscriber(concurrency int) (message.Subscriber, error) {
	// One of Watermill's tests leaves a message without an answer.
	s := native.NewSubscriber(tr.engine, native.Config{Concurrency: concurrency, Drain: 100 * time.Millisecond})
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.subs = append(tr.subs, s)
	return s, nil
}

func (tr *transport) Close() error {
	for _, s := range tr.subs {
		if err := s.Close(); err != nil {
			return err
		}
	}
	tr.stop()
	return nil
}

// on runs an engine on a store, and closes both when t ends.
func on(t testing.TB, s store.Store) transports.Transport {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	e, err := engine.New(engine.Config{Store: s})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx); close(done) }()
	return &transport{engine: e, store: s, stop: func() { cancel(); require.NoError(t, <-done) }}
}

func run(t *testing.T, f tests.Features, open func(testing.TB) store.Store) {
	transporttest.Run(t, transporttest.Factory{
		Open:     func(t testing.TB) transports.Transport { return on(t, open(t)) },
		Features: f,
		// M9
		Settled: func(t testing.TB, tr transports.Transport) { doctortest.Check(t, tr.(*transport).store) },
	})
}

//semantics:stores memory
func TestOnMemory(t *testing.T) {
	run(t, tests.Features{Persistent: true}, func(testing.TB) store.Store { return memory.New(store.Options{}) })
}

//semantics:stores sqlite
func TestOnSQLite(t *testing.T) {
	// Thousands of messages, published one by one, would only measure the disk.
	run(t, tests.Features{Persistent: true, ForceShort: true}, func(t testing.TB) store.Store {
		s, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "t.db"), sqlite.Config{})
		require.NoError(t, err)
		return s
	})
}
