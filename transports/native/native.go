// Package native is the transport without a broker: Watermill's Publisher and
// Subscriber on the store itself, with any number of messages in flight.
package native

import (
	"context"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/envelope"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Engine is what the transport needs of the engine.
type Engine interface {
	Commit(ctx context.Context, out *step.Outcome) (step.Verdict, error)
	Host(topic string, concurrency int)
	Unhost(topic string, concurrency int)
	Next(ctx context.Context, topic string) (*store.Message, error)
	End(ctx context.Context, u *step.Unit, err error) error
	GiveBack(ctx context.Context, m *store.Message)
}

// Publisher publishes into the store. It is safe for concurrent use.
type Publisher struct{ e Engine }

// NewPublisher returns a publisher on e.
func NewPublisher(e Engine) *Publisher { return &Publisher{e} }

// Publish stores the messages, all or none; they are durable when it returns.
func (p *Publisher) Publish(topic string, msgs ...*message.Message) error {
	if len(msgs) == 0 {
		return nil
	}
	out := &step.Outcome{
		Verb: step.Insert, Sends: make([]step.Send, len(msgs)),
		Source: &step.Source{Consumer: "~publish", ID: step.NewID(0)},
	}
	for i, msg := range msgs {
		out.Sends[i] = envelope.Send(topic, msg)
	}
	if _, err := p.e.Commit(msgs[0].Context(), out); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// Close does nothing: the engine belongs to who made it.
func (p *Publisher) Close() error { return nil }

// Config sets up a [Subscriber].
type Config struct {
	Concurrency int // most messages of a subscription in flight; default 256

	// Begun says that whoever gets the messages begins and ends their units
	// of work, as the Idempotency middleware does. Otherwise acknowledging a
	// message is its outcome, and refusing it makes it come again.
	Begun bool
}

// Subscriber delivers what the engine holds. It is safe for concurrent use.
type Subscriber struct {
	e    Engine
	cfg  Config
	mu   sync.Mutex
	done chan struct{}
	all  sync.WaitGroup
}

// NewSubscriber returns a subscriber on e.
func NewSubscriber(e Engine, cfg Config) *Subscriber {
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 256
	}
	return &Subscriber{e: e, cfg: cfg, done: make(chan struct{})}
}

// Subscribe delivers the messages of a topic until ctx ends or the subscriber
// is closed; then the channel is closed. Several subscriptions of a topic
// share its messages.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return nil, fmt.Errorf("subscribe to %s: %w", topic, store.ErrClosed)
	default:
	}
	s.e.Host(topic, s.cfg.Concurrency)
	ctx, cancel := context.WithCancel(ctx)
	out := make(chan *message.Message)
	s.all.Go(func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	})
	s.all.Go(func() {
		defer cancel()
		s.pump(ctx, topic, out)
		close(out)
		s.e.Unhost(topic, s.cfg.Concurrency)
	})
	return out, nil
}

func (s *Subscriber) pump(ctx context.Context, topic string, out chan<- *message.Message) {
	for {
		m, err := s.e.Next(ctx, topic)
		if err != nil {
			return
		}
		msg := envelope.Message(ctx, m)
		select {
		case out <- msg:
		case <-ctx.Done():
			s.e.GiveBack(ctx, m)
			return
		}
		if !s.cfg.Begun {
			s.all.Go(func() { s.await(ctx, m, msg) })
		}
	}
}

// await makes the acknowledgement of a message its outcome.
func (s *Subscriber) await(ctx context.Context, m *store.Message, msg *message.Message) {
	select {
	case <-msg.Acked():
		_ = s.e.End(ctx, &step.Unit{Message: m}, nil) // not stored: it comes again
	case <-msg.Nacked():
		s.e.GiveBack(ctx, m)
	case <-ctx.Done():
		s.e.GiveBack(ctx, m)
	}
}

// Close ends all subscriptions and waits for them. Closing twice is allowed.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	select {
	case <-s.done:
	default:
		close(s.done)
	}
	s.mu.Unlock()
	s.all.Wait()
	return nil
}
