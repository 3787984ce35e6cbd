package redisstream

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/transports/inflight"
	"github.com/millrace-go/millrace/transports/link"
)

// Subscriber shares the messages of its topics with other subscribers.
type Subscriber struct {
	t           *Transport
	concurrency int
	open        inflight.Group
}

var _ message.Subscriber = (*Subscriber)(nil)

// Subscribe implements [message.Subscriber]. It fails if the server can't be
// reached; later it waits for the server.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	x := &subscription{
		t: s.t, log: s.t.cfg.Log.With("topic", topic),
		stream: s.t.stream(topic), group: s.t.cfg.Group, consumer: consumers + watermill.NewShortUUID(),
		flights: inflight.New[string](s.concurrency, s.t.cfg.Drain),
	}
	x.trouble = link.New(x.log, "stream "+x.stream)
	open := func(ctx context.Context) error {
		_, err := x.join(ctx)
		return err
	}
	if err := s.open.Open(ctx, open, x.run); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return x.flights.Out(), nil
}

// Close implements [message.Subscriber]: see [transports.Transport].
func (s *Subscriber) Close() error {
	s.open.Close()
	s.t.forget(s)
	return nil
}
