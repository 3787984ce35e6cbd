package transports

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// Merge returns a subscriber that delivers what any of subs delivers. A
// subscription of one that ends by itself is opened again, with growing
// pauses up to a few seconds, until the merged one ends.
func Merge(subs ...message.Subscriber) message.Subscriber { return merged(subs) }

type merged []message.Subscriber

// Subscribe implements message.Subscriber. A first subscription that fails is
// an error.
func (m merged) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	ctx, cancel := context.WithCancel(ctx)
	out := make(chan *message.Message)
	ins := make([]<-chan *message.Message, len(m))
	for i, sub := range m {
		in, err := sub.Subscribe(ctx, topic)
		if err != nil {
			cancel()
			return nil, err
		}
		ins[i] = in
	}
	var all sync.WaitGroup
	for i, sub := range m {
		all.Go(func() { forward(ctx, sub, topic, ins[i], out) })
	}
	go func() {
		all.Wait()
		cancel()
		close(out)
	}()
	return out, nil
}

// forward passes messages on, and subscribes again when in ends by itself.
func forward(ctx context.Context, sub message.Subscriber, topic string, in <-chan *message.Message, out chan<- *message.Message) {
	pause := 10 * time.Millisecond
	for {
		for msg := range in {
			pause = 10 * time.Millisecond
			select {
			case out <- msg:
			case <-ctx.Done():
				msg.Nack()
			}
		}
		for in = nil; in == nil; pause = min(2*pause, 5*time.Second) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			in, _ = sub.Subscribe(ctx, topic) // tried again until it succeeds
		}
	}
}

// Close closes all of them.
func (m merged) Close() error {
	errs := make([]error, len(m))
	for i, sub := range m {
		errs[i] = sub.Close()
	}
	return errors.Join(errs...)
}
