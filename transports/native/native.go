// Package native is the transport without a broker: Watermill's Publisher and
// Subscriber on the store itself, with any number of messages in flight.
package native

import (
	"bytes"
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/envelope"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Engine is what the transport needs of the engine.
type Engine interface {
	// Commit stores an outcome that is about no message of the caller's.
	Commit(ctx context.Context, out *step.Outcome) (step.Verdict, error)
	// Host takes the messages of a topic, at most so many at once.
	Host(topic string, concurrency int)
	// Unhost undoes one Host.
	Unhost(topic string, concurrency int)
	// Next blocks until a message of the topic is to be run.
	Next(ctx context.Context, topic string) (*store.Message, error)
	// End commits the outcome of a message.
	End(ctx context.Context, u *step.Unit, err error) error
	// GiveBack frees a message that was not begun.
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
		out.Sends[i].Payload = bytes.Clone(msg.Payload) // the caller may use it again
	}
	if _, err := p.e.Commit(msgs[0].Context(), out); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// Close does nothing: the engine belongs to who made it.
func (p *Publisher) Close() error { return nil }
