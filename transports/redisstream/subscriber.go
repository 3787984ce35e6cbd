package redisstream

import (
	"context"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/transports/inflight"
	"github.com/millrace-go/millrace/transports/link"
)

// Subscriber shares the messages of its topics with other subscribers.
type Subscriber struct {
	t           *Transport
	concurrency int

	mu   sync.Mutex
	done chan struct{}
	all  sync.WaitGroup
}

var _ message.Subscriber = (*Subscriber)(nil)

// Subscribe implements [message.Subscriber]. It fails if the server can't be
// reached; later it waits for the server.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed() {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, errClosed)
	}
	x := &subscription{
		t: s.t, log: s.t.cfg.Log.With("topic", topic),
		stream: s.t.stream(topic), group: s.t.cfg.Group, consumer: consumers + watermill.NewShortUUID(),
		flights: inflight.New[string](s.concurrency, s.t.cfg.Drain),
	}
	x.trouble = link.New(x.log, "stream "+x.stream)
	if _, err := x.join(ctx); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	s.all.Go(func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	})
	s.all.Go(func() {
		defer cancel()
		x.run(ctx)
	})
	return x.flights.Out(), nil
}

func (s *Subscriber) isClosed() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Close implements [message.Subscriber]: see [transports.Transport].
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
