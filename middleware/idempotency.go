package middleware

import (
	"context"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/envelope"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Engine is what Idempotency needs of the engine.
type Engine interface {
	// Take makes a message from outside the store's own and holds it.
	Take(ctx context.Context, consumer, id string, send step.Send) (*store.Message, error)
	// Begin opens the unit of work of a held message.
	Begin(ctx context.Context, m *store.Message) (context.Context, *step.Unit, error)
	// End commits its outcome.
	End(ctx context.Context, u *step.Unit, err error) error
}

// ErrRefused says that a message from outside is over a limit (the error wraps
// step.ErrTooLarge or step.ErrBadName as well): the store will not take it in,
// however often it comes. Watermill's PoisonQueueWithFilter, added before
// [Idempotency], can put such messages aside.
var ErrRefused = errors.New("the store does not take the message in")

// Idempotency makes each message have one outcome, stored together with what
// the handler brought forth: its decisions, and the messages that a plain
// Watermill handler returns, which are stored as messages to the handler's
// publish topic. The Router is handed none of them.
//
// A message that did not come from the engine is taken into the store first,
// by its UUID and the handler's name; a second one with the same UUID is
// acknowledged and not run (one without UUID is never a second one). From then
// on the store answers for it: retries come from the store, to whoever
// subscribes to the topic there.
//
// The handler's error decides the outcome, as set by [Retry] and [Poison]: a
// *step.RetryError is tried again, a *step.PermanentError is a dead letter;
// any other error is tried again by the default policy for as long as it
// takes. A handler that failed since the store was out of reach (an error that
// wraps store.ErrUnavailable or store.ErrUnknown) has made no attempt. The
// middleware itself returns an error only when the outcome could not be stored.
func Idempotency(e Engine) message.HandlerMiddleware {
	return func(h message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			growStack()
			outer := msg.Context()
			m, err := held(e, msg)
			if err != nil {
				return nil, unlessNotMine(err)
			}
			ctx, u, err := e.Begin(outer, m)
			if u == nil {
				return nil, unlessNotMine(err)
			}
			if err == nil {
				err = run(ctx, h, msg, u)
			}
			return nil, e.End(ctx, u, err)
		}
	}
}

func run(ctx context.Context, h message.HandlerFunc, msg *message.Message, u *step.Unit) error {
	msg.SetContext(ctx)
	produced, err := h(msg)
	if err != nil {
		return decided(ctx, u, err)
	}
	topic := message.PublishTopicFromCtx(ctx)
	for _, p := range produced {
		u.Decide(envelope.Send(topic, p))
	}
	return nil
}

// held returns the row of a message, taking the message in if it has none.
func held(e Engine, msg *message.Message) (*store.Message, error) {
	if m := envelope.Held(msg); m != nil {
		return m, nil
	}
	ctx := msg.Context()
	m, err := e.Take(ctx, message.HandlerNameFromCtx(ctx), envelope.SourceID(msg), envelope.Send(message.SubscribeTopicFromCtx(ctx), msg))
	if errors.Is(err, step.ErrTooLarge) || errors.Is(err, step.ErrBadName) {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return m, err
}

// decided sees to errors that nobody inside has decided about.
func decided(ctx context.Context, u *step.Unit, err error) error {
	switch {
	case ctx.Err() != nil: // the engine has cancelled the handler
		return step.ErrInterrupted
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrUnknown): // the store's, met by the handler
		return fmt.Errorf("%w: %w", step.ErrInterrupted, err)
	case isDecided(err):
		return err
	}
	delay, _ := step.Policy{Elapsed: 1<<63 - 1}.WithDefaults().Next(u.Message.Attempt+1, 0, 0)
	return &step.RetryError{After: delay, Err: err}
}

// unlessNotMine acknowledges what is not to be run here.
func unlessNotMine(err error) error {
	if errors.Is(err, step.ErrNotMine) {
		return nil
	}
	return err
}
