package middleware_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/doctor/doctortest"
	"github.com/millrace-go/millrace/engine"
	"github.com/millrace-go/millrace/middleware"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/memory"
	"github.com/millrace-go/millrace/transports/native"
)

// service is a plain Watermill Router with our middlewares: it takes orders
// from a broker, and what comes back to it from the store.
type service struct {
	*testing.T
	store  *memory.Store
	engine *engine.Engine
	broker *gochannel.GoChannel
	router *message.Router
	native *native.Subscriber
	rules  middleware.Rules

	mu   sync.Mutex
	runs map[string]int
	errs map[string][]error // what the handler returns, by id; then nil
}

// inService runs a test on a service that runs, in a bubble of time.
func inService(t *testing.T, rules middleware.Rules, test func(*service)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &service{T: t, store: memory.New(store.Options{}), rules: rules, runs: map[string]int{}, errs: map[string][]error{}}
		var err error
		s.engine, err = engine.New(engine.Config{Store: s.store, Poll: time.Hour, Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		s.broker = gochannel.NewGoChannel(gochannel.Config{}, watermill.NopLogger{})
		s.native = native.NewSubscriber(s.engine, native.Config{Begun: true})
		stop := s.run()
		test(s)
		stop()
		doctortest.Check(t, s.store)
		require.NoError(t, s.store.Close())
	})
}

// run runs the engine, and the Router until the engine has drained.
func (s *service) run() (stop func()) {
	s.router = s.newRouter()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- s.router.Run(context.Background()) }()
	<-s.router.Running()
	go func() {
		err := s.engine.Run(ctx)
		done <- errors.Join(err, s.router.Close())
	}()
	synctest.Wait()
	return func() {
		cancel()
		require.NoError(s, errors.Join(<-done, <-done))
		require.NoError(s, s.broker.Close())
	}
}

func (s *service) newRouter() *message.Router {
	r, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	require.NoError(s, err)
	r.AddMiddleware(s.putAside)
	r.AddMiddleware(middleware.Chain(s.engine, func(*store.Message) middleware.Rules { return s.rules })...)
	pub := native.NewPublisher(s.engine) // never used: Idempotency hands the Router nothing
	r.AddHandler("orders", "orders", s.broker, "receipts", pub, s.order)
	r.AddHandler("orders, again", "orders", s.native, "receipts", pub, s.order)
	r.AddConsumerHandler("receipts", "receipts", s.native, func(msg *message.Message) error {
		s.count("receipt of " + string(msg.Payload))
		return nil
	})
	return r
}

// putAside does what a PoisonQueueWithFilter of Watermill's does.
func (s *service) putAside(h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		out, err := h(msg)
		if errors.Is(err, middleware.ErrRefused) {
			return nil, s.broker.Publish("orders.parked", msg.Copy())
		}
		return out, err
	}
}

// order answers each order with a receipt, or fails as it is told to.
func (s *service) order(msg *message.Message) ([]*message.Message, error) {
	s.count(msg.UUID)
	receipt := message.NewMessage(watermill.NewUUID(), []byte(msg.UUID))
	if err := s.nextError(msg.UUID); err != nil {
		if errors.Is(err, errPanic) {
			panic(err)
		}
		return message.Messages{receipt}, err
	}
	return message.Messages{receipt}, nil
}

var errPanic = errors.New("panics")

func (s *service) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs[what]++
}

func (s *service) nextError(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errs[id]) == 0 {
		return nil
	}
	err := s.errs[id][0]
	s.errs[id] = s.errs[id][1:]
	return err
}

// place publishes orders to the broker, as a foreign producer does.
func (s *service) place(ids ...string) {
	s.Helper()
	for _, id := range ids {
		require.NoError(s, s.broker.Publish("orders", message.NewMessage(id, []byte("order"))))
	}
	synctest.Wait()
}

func (s *service) ran() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.runs)
}

func (s *service) rows(kind store.RowKind) []*store.Row {
	s.Helper()
	found, err := s.store.Find(context.Background(), store.Query{Rows: &store.RowQuery{Kind: kind, AllOwners: true}})
	require.NoError(s, err)
	return found.Rows
}

// L4, M2: a message from outside, and every copy of it, is one step.
//
//semantics:stores memory
func TestCopiesAreRunOnce(t *testing.T) {
	inService(t, middleware.Rules{}, func(s *service) {
		s.place("a", "a", "b", "a")
		require.Equal(s, map[string]int{"a": 1, "b": 1, "receipt of a": 1, "receipt of b": 1}, s.ran())
		s.place("a")
		require.Equal(s, 1, s.ran()["a"], "also when it is done")
	})
}

// L4, R1, M4: a failure is tried again by the store, when it is due; meanwhile
// copies don't run it early, and what it produced is not published.
//
//semantics:stores memory
func TestFailuresComeBackFromTheStore(t *testing.T) {
	rules := middleware.Rules{Policy: step.Policy{Initial: time.Minute, Factor: 1, Attempts: 5}}
	inService(t, rules, func(s *service) {
		s.errs["a"] = []error{errHandler, errPanic}
		s.place("a")
		<-time.After(59 * time.Second)
		s.place("a")
		require.Equal(s, map[string]int{"a": 1}, s.ran())
		<-time.After(2 * time.Second)
		synctest.Wait()
		require.Equal(s, map[string]int{"a": 2}, s.ran())
		<-time.After(61 * time.Second)
		synctest.Wait()
		require.Equal(s, map[string]int{"a": 3, "receipt of a": 1}, s.ran())
		require.Empty(s, s.rows(store.Dead))
	})
}

// L4, R4, M8: what fails for good is a dead letter, with its attempts.
//
//semantics:stores memory
func TestPoisonIsADeadLetter(t *testing.T) {
	inService(t, middleware.Rules{Policy: step.Policy{Initial: time.Second, Attempts: 3}}, func(s *service) {
		s.errs["a"] = []error{errHandler, errPanic, errHandler}
		s.errs["b"] = []error{&step.PermanentError{Err: errHandler}}
		s.place("a", "b")
		<-time.After(time.Minute)
		synctest.Wait()
		require.Equal(s, map[string]int{"a": 3, "b": 1}, s.ran(), "and no receipts")
		require.Len(s, s.rows(store.Dead), 2)
		attempts := s.rows(store.Attempt)
		require.Len(s, attempts, 3+1)
		stacks := 0
		for _, row := range attempts {
			var a step.AttemptRow
			require.NoError(s, store.Unmarshal(row.Body, &a))
			if a.Stack != "" {
				require.Contains(s, a.Stack, "order")
				stacks++
			}
		}
		require.Equal(s, 1, stacks)
	})
}

// M7, R6: a middleware before ours can put aside what is over a limit.
//
//semantics:stores memory
func TestRefusedMessageCanBePutAside(t *testing.T) {
	inService(t, middleware.Rules{}, func(s *service) {
		parked, err := s.broker.Subscribe(s.Context(), "orders.parked")
		require.NoError(s, err)
		large := make([]byte, step.Limits{}.WithDefaults().Payload+1)
		require.NoError(s, s.broker.Publish("orders", message.NewMessage("large", large)))
		msg := <-parked
		msg.Ack()
		require.Equal(s, "large", msg.UUID)
		require.Len(s, msg.Payload, len(large))
		s.place("fits")
		require.Equal(s, map[string]int{"fits": 1, "receipt of fits": 1}, s.ran())
	})
}

// L4, L1: stopping lets a plain handler finish, and stores what it produced.
//
//semantics:stores memory
func TestStoppedServiceFinishesItsHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{T: t, store: memory.New(store.Options{}), runs: map[string]int{}}
		var err error
		s.engine, err = engine.New(engine.Config{Store: s.store, Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		s.native = native.NewSubscriber(s.engine, native.Config{Begun: true})
		r, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
		require.NoError(t, err)
		r.AddMiddleware(middleware.Chain(s.engine, nil)...)
		entered, release := make(chan struct{}), make(chan struct{})
		r.AddHandler("orders", "orders", s.native, "receipts", native.NewPublisher(s.engine), func(msg *message.Message) ([]*message.Message, error) {
			close(entered)
			<-release
			return message.Messages{message.NewMessage("receipt", nil)}, msg.Context().Err()
		})
		ctx, cancel := context.WithCancel(context.Background())
		engineDone, routerDone := make(chan error, 1), make(chan error, 1)
		go func() { routerDone <- r.Run(context.Background()) }()
		<-r.Running()
		go func() { engineDone <- s.engine.Run(ctx) }()
		require.NoError(t, native.NewPublisher(s.engine).Publish("orders", message.NewMessage("a", nil)))
		<-entered
		cancel()
		synctest.Wait()
		close(release)
		require.NoError(t, <-engineDone)
		require.NoError(t, r.Close())
		require.NoError(t, <-routerDone)
		found, err := s.store.Find(context.Background(), store.Query{Messages: &store.MessageQuery{}})
		require.NoError(t, err)
		require.Len(t, found.Messages, 1)
		require.Equal(t, "receipts", found.Messages[0].Topic)
		doctortest.Check(t, s.store)
		require.NoError(t, s.store.Close())
	})
}
