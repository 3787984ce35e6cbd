package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/transports/inflight"
)

// Subscriber shares the messages of its topics with other subscribers.
type Subscriber struct {
	broker      *broker
	concurrency int
	drain       time.Duration

	open inflight.Group
}

var _ message.Subscriber = (*Subscriber)(nil)

func newSubscriber(b *broker, concurrency int, drain time.Duration) *Subscriber {
	if drain <= 0 {
		drain = 30 * time.Second
	}
	return &Subscriber{broker: b, concurrency: max(concurrency, 1), drain: drain, open: inflight.Group{Err: errClosed}}
}

// Subscribe implements [message.Subscriber].
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	open := func(context.Context) error { return nil }
	err := s.open.Open(ctx, open, func(ctx context.Context) {
		defer close(out)
		s.pump(ctx, s.broker.queue(topic), out)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return out, nil
}

func (s *Subscriber) pump(ctx context.Context, q *queue, out chan<- *message.Message) {
	slots := make(chan struct{}, s.concurrency)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		it := next(ctx, q)
		if it == nil {
			return
		}
		work, cancel := context.WithCancel(context.WithoutCancel(ctx))
		msg := it.message(work)
		select {
		case out <- msg:
		case <-ctx.Done():
			cancel()
			q.pushFront(it)
			return
		}
		s.open.Go(func() {
			s.await(ctx, q, it, msg)
			cancel()
			<-slots
		})
	}
}

// next blocks until there is an item; nil when ctx ends first.
func next(ctx context.Context, q *queue) *item {
	for {
		if it := q.pop(); it != nil {
			return it
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
			return nil
		}
	}
}

// await gives an item back unless it is acknowledged.
func (s *Subscriber) await(ctx context.Context, q *queue, it *item, msg *message.Message) {
	ended := ctx.Done()
	var over <-chan time.Time
	for {
		select {
		case <-msg.Acked():
			return
		case <-msg.Nacked():
			s.open.Go(func() { giveBackLater(ctx, q, it) })
			return
		case <-ended:
			drain := time.NewTimer(s.drain)
			defer drain.Stop()
			ended, over = nil, drain.C
		case <-over:
			q.pushFront(it)
			return
		}
	}
}

// giveBackLater gives a refused item back after a pause, or at once when the
// subscription ends.
func giveBackLater(ctx context.Context, q *queue, it *item) {
	pause := time.NewTimer(it.pause())
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
	q.push(it)
}

// Close implements [message.Subscriber]: see [transports.Transport].
func (s *Subscriber) Close() error {
	s.open.Close()
	return nil
}
