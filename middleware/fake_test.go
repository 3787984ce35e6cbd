package middleware_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/envelope"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errHandler = errors.New("the handler's error")

// fails is a handler that returns messages and an error.
func fails(err error) message.HandlerFunc {
	return func(*message.Message) ([]*message.Message, error) {
		return message.Messages{message.NewMessage("partial", nil)}, err
	}
}

// within returns a message in a unit of work, as Idempotency hands it inwards.
func within(t testing.TB, u *step.Unit) *message.Message {
	msg := message.NewMessage("id", nil)
	msg.SetContext(step.WithUnit(t.Context(), u))
	return msg
}

// fakeEngine is the engine as Idempotency sees it: it remembers what it was
// told, and answers what it is set to.
type fakeEngine struct {
	takeErr, beginErr, endErr error
	refuse                    bool               // Begin gives no unit
	cancel                    context.CancelFunc // of the unit's context

	consumer, id string
	taken        *step.Send
	begun        *store.Message
	unit         *step.Unit
	ended        bool
	outcome      error
}

func (e *fakeEngine) Take(_ context.Context, consumer, id string, send step.Send) (*store.Message, error) {
	e.consumer, e.id, e.taken = consumer, id, &send
	if e.takeErr != nil {
		return nil, e.takeErr
	}
	return &store.Message{ID: "ours", Topic: send.Topic, Payload: send.Payload, Meta: send.Meta}, nil
}

func (e *fakeEngine) Begin(ctx context.Context, m *store.Message) (context.Context, *step.Unit, error) {
	e.begun = m
	if e.refuse {
		return ctx, nil, e.beginErr
	}
	e.unit = &step.Unit{Message: m}
	ctx, e.cancel = context.WithCancel(step.WithUnit(ctx, e.unit))
	return ctx, e.unit, e.beginErr
}

func (e *fakeEngine) End(_ context.Context, u *step.Unit, err error) error {
	if u != e.unit || e.ended {
		panic("not the unit that was begun, or ended twice")
	}
	e.cancel()
	e.ended, e.outcome = true, err
	return e.endErr
}

// heldMessage is a message that the engine handed out.
func heldMessage(t testing.TB) *message.Message {
	return envelope.Message(t.Context(), &store.Message{ID: "m1", Task: "svc/task", Payload: []byte("p")})
}
