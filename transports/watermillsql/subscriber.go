package watermillsql

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

// Subscribe implements [message.Subscriber]. It makes the topic's table if it
// is missing, and fails if the database can't be reached; later it waits for
// the database.
func (s *Subscriber) Subscribe(ctx context.Context, name string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed() {
		return nil, fmt.Errorf("subscribe to %s: %w", name, errClosed)
	}
	db, err := s.t.database()
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", name, err)
	}
	x := &subscription{
		t: s.t, db: db, log: s.t.cfg.Log.With("topic", name), topic: topicOf(name), holder: watermill.NewULID(),
		flights: inflight.New[key](s.concurrency, s.t.cfg.Drain),
	}
	x.trouble = link.New(x.log, "table "+x.topic.messages)
	if _, err := x.ready(ctx); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", name, err)
	}
	x.signal = s.t.wake.add(x.topic.messages)
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
