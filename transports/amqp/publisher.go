package amqp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
)

// rounds is how often a message is published whose queue is gone.
const rounds = 4

// outgoing is a message on its way to a queue.
type outgoing struct {
	queue string
	amqp091.Publishing
}

// publisher publishes with confirms. It outlives the handlers that close it.
type publisher struct {
	c      Config
	name   naming
	link   *link
	queues *queues
	gone   func(queue string) // told when a queue turns out to be deleted
	slots  chan struct{}      // one for each channel in use

	mu   sync.Mutex
	idle []*confirmer
}

var _ transports.BatchPublisher = (*publisher)(nil)

func newPublisher(t *Transport) *publisher {
	return &publisher{
		c: t.c, name: t.name, link: t.publish, queues: t.queues, gone: t.gone,
		slots: make(chan struct{}, t.c.Channels),
	}
}

// Publish implements message.Publisher. It returns when the server has
// confirmed all of msgs. While the server takes no messages, it waits.
func (p *publisher) Publish(topic string, msgs ...*message.Message) error {
	queue := p.name.queue(topic)
	out := make([]outgoing, len(msgs))
	for i, msg := range msgs {
		out[i] = outgoing{queue, marshal(msg.UUID, msg.Metadata, msg.Payload)}
	}
	if err := p.send(context.Background(), out); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// PublishBatch implements [transports.BatchPublisher]. Up to [Config.Window]
// messages are without their confirm at a time. A queue that can't be declared
// does not keep the messages for others. While there is no connection it fails
// at once: the relay has another way for its messages. When ctx ends early,
// payloads may still be read for a while.
func (p *publisher) PublishBatch(ctx context.Context, messages []store.Publication) error {
	if err := p.link.up(); err != nil {
		return fmt.Errorf("publish %d messages: %w", len(messages), err)
	}
	out := make([]outgoing, len(messages))
	for i, m := range messages {
		out[i] = outgoing{p.name.queue(m.Topic), marshal(m.UUID, m.Metadata, m.Payload)}
	}
	if err := p.send(ctx, out); err != nil {
		return fmt.Errorf("publish %d messages: %w", len(messages), err)
	}
	return nil
}

// Close does nothing: others may use the publisher too.
func (p *publisher) Close() error { return nil }

// send publishes out, and returns at once when ctx ends.
func (p *publisher) send(ctx context.Context, out []outgoing) error {
	if len(out) == 0 {
		return nil
	}
	return p.link.call(ctx, 0, func() error { return p.deliver(ctx, out) })
}

// deliver publishes until each message is in its queue.
func (p *publisher) deliver(ctx context.Context, out []outgoing) error {
	var errs []error
	for range rounds {
		routable, err := p.declare(ctx, out)
		if err != nil {
			errs = append(errs, err)
		}
		returned, err := p.publish(ctx, routable)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if len(returned) == 0 {
			return errors.Join(errs...)
		}
		for queue := range queuesOf(returned) {
			p.queues.forget(queue)
			p.gone(queue)
		}
		out = returned
	}
	return errors.Join(append(errs, fmt.Errorf("queue %q: %w", out[0].queue, ErrUnroutable))...)
}

// declare declares the queues of out, and returns the messages for those that
// are there.
func (p *publisher) declare(ctx context.Context, out []outgoing) ([]outgoing, error) {
	var first error
	failed := map[string]bool{}
	for queue := range queuesOf(out) {
		if err := p.queues.declare(ctx, queue); err != nil {
			failed[queue] = true
			first = err
		}
	}
	if first == nil {
		return out, nil
	}
	return slices.DeleteFunc(out, func(m outgoing) bool { return failed[m.queue] }), first
}

func queuesOf(out []outgoing) map[string]bool {
	queues := map[string]bool{}
	for _, m := range out {
		queues[m.queue] = true
	}
	return queues
}

// publish publishes out on a channel of its own.
func (p *publisher) publish(ctx context.Context, out []outgoing) (returned []outgoing, err error) {
	if len(out) == 0 {
		return nil, nil
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := p.take(ctx)
	if err != nil {
		return nil, err
	}
	returned, err = c.publish(ctx, out)
	p.giveBack(c, err == nil)
	return returned, err
}

// take returns a channel that nobody else uses.
func (p *publisher) take(ctx context.Context) (*confirmer, error) {
	if err := p.link.unblocked(ctx); err != nil {
		return nil, err
	}
	for c := p.pop(); c != nil; c = p.pop() {
		if !c.ch.IsClosed() {
			return c, nil
		}
	}
	ch, err := p.link.channel(ctx)
	if err != nil {
		return nil, err
	}
	return newConfirmer(ch, p.link, p.c.Window)
}

func (p *publisher) pop() *confirmer {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle = p.idle[:n-1]
	return c
}

// giveBack keeps a channel for the next batch, unless something is under way
// on it.
func (p *publisher) giveBack(c *confirmer, settled bool) {
	if !settled {
		p.link.start(func() { _ = c.ch.Close() })
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, c)
}
