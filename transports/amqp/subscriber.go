package amqp

import (
	"context"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
)

// Subscriber receives messages; see [transports.Transport.Subscriber].
type Subscriber struct {
	t           *Transport
	concurrency int

	mu   sync.Mutex
	done chan struct{}
	open map[*subscription]bool
	all  sync.WaitGroup
}

var (
	_ message.Subscriber           = (*Subscriber)(nil)
	_ message.SubscribeInitializer = (*Subscriber)(nil)
)

func newSubscriber(t *Transport, concurrency int) *Subscriber {
	return &Subscriber{
		t: t, concurrency: min(max(concurrency, 1), 1<<16-1), // the protocol has two bytes for it
		done: make(chan struct{}), open: map[*subscription]bool{},
	}
}

// SubscribeInitialize makes the topic's queue, so that what is published
// before the first subscription waits in it. Publishing makes it as well.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	if s.isClosed() {
		return fmt.Errorf("subscribe to %s: %w", topic, ErrClosed)
	}
	return s.t.queues.make(context.Background(), s.t.consume, s.t.name.queue(topic))
}

// Subscribe implements message.Subscriber. It fails if the server can't be
// reached, or refuses. Later the subscription is opened again whenever it
// breaks, and so is its queue if that is deleted. What came with a connection
// that broke comes again.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	ctx, cancel := context.WithCancel(ctx)
	sub := newSubscription(s, topic)
	if !s.add(sub, func() { cancelWith(ctx, cancel, s.done) }) {
		cancel()
		return nil, fmt.Errorf("subscribe to %s: %w", topic, ErrClosed)
	}
	first, err := sub.consume(ctx)
	if err != nil {
		cancel()
		s.remove(sub)
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	go func() {
		defer s.remove(sub)
		defer cancel()
		sub.run(ctx, first)
	}()
	return sub.out, nil
}

// cancelWith cancels ctx when done is closed.
func cancelWith(ctx context.Context, cancel context.CancelFunc, done <-chan struct{}) {
	select {
	case <-done:
		cancel()
	case <-ctx.Done():
	}
}

// add counts a subscription, which remove ends, and runs watch beside it,
// unless the subscriber is closed.
func (s *Subscriber) add(sub *subscription, watch func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed() {
		return false
	}
	s.open[sub] = true
	s.all.Add(1)
	s.all.Go(watch)
	return true
}

func (s *Subscriber) remove(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sub)
	s.all.Done()
}

// renew has the subscriptions of a queue that was deleted open it again.
func (s *Subscriber) renew(queue string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.open {
		if sub.queue != queue {
			continue
		}
		select {
		case sub.renew <- struct{}{}:
		default:
		}
	}
}

// inFlight returns how many messages of a topic were received and are open.
func (s *Subscriber) inFlight(topic string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for sub := range s.open {
		if c := sub.now.Load(); c != nil && sub.topic == topic {
			n += c.acks.unsettled()
		}
	}
	return n
}

func (s *Subscriber) isClosed() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Close implements message.Subscriber; see [transports.Transport].
func (s *Subscriber) Close() error {
	s.mu.Lock()
	if !s.isClosed() {
		close(s.done)
	}
	s.mu.Unlock()
	s.all.Wait()
	s.t.forget(s)
	return nil
}
