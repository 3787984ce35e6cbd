package watermillsql

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

// Subscribe implements [message.Subscriber]. It makes the topic's table if it
// is missing, and fails if the database can't be reached; later it waits for
// the database.
func (s *Subscriber) Subscribe(ctx context.Context, name string) (<-chan *message.Message, error) {
	db, err := s.t.database()
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", name, err)
	}
	x := &subscription{
		t: s.t, db: db, log: s.t.cfg.Log.With("topic", name), topic: topicOf(name), holder: watermill.NewULID(),
		flights: inflight.New[key](s.concurrency, s.t.cfg.Drain),
	}
	x.trouble = link.New(x.log, "table "+x.topic.messages)
	open := func(ctx context.Context) error {
		if _, err := x.ready(ctx); err != nil {
			return err
		}
		x.signal = s.t.wake.add(x.topic.messages)
		return nil
	}
	if err := s.open.Open(ctx, open, x.run); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", name, err)
	}
	return x.flights.Out(), nil
}

// Close implements [message.Subscriber]: see [transports.Transport].
func (s *Subscriber) Close() error {
	s.open.Close()
	s.t.forget(s)
	return nil
}
