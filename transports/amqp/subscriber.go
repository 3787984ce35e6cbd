package amqp

import (
	"context"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/transports/inflight"
)

// Subscriber receives messages; see [transports.Transport.Subscriber].
type Subscriber struct {
	t           *Transport
	concurrency int

	group inflight.Group

	mu   sync.Mutex
	open map[*subscription]bool
}

var (
	_ message.Subscriber           = (*Subscriber)(nil)
	_ message.SubscribeInitializer = (*Subscriber)(nil)
)

func newSubscriber(t *Transport, concurrency int) *Subscriber {
	return &Subscriber{
		t: t, concurrency: min(max(concurrency, 1), 1<<16-1), // the protocol has two bytes for it
		group: inflight.Group{Err: ErrClosed}, open: map[*subscription]bool{},
	}
}

// SubscribeInitialize makes the topic's queue, so that what is published
// before the first subscription waits in it. Publishing makes it as well.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	if s.group.Closed() {
		return fmt.Errorf("subscribe to %s: %w", topic, ErrClosed)
	}
	return s.t.queues.make(context.Background(), s.t.consume, s.t.name.queue(topic))
}

// Subscribe implements message.Subscriber. It fails if the server can't be
// reached, or refuses. Later the subscription is opened again whenever it
// breaks, and so is its queue if that is deleted. What came with a connection
// that broke comes again.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	sub := newSubscription(s, topic)
	var first *consumer
	err := s.group.Open(ctx, func(ctx context.Context) (err error) {
		s.add(sub)
		if first, err = sub.consume(ctx); err != nil {
			s.remove(sub)
		}
		return err
	}, func(ctx context.Context) {
		defer s.remove(sub)
		sub.run(ctx, first)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return sub.out, nil
}

func (s *Subscriber) add(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[sub] = true
}

func (s *Subscriber) remove(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sub)
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

// Close implements message.Subscriber; see [transports.Transport].
func (s *Subscriber) Close() error {
	s.group.Close()
	s.t.forget(s)
	return nil
}
