package relay

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/step"
)

// receive takes, until in is closed, the outcomes of steps that services on other stores carried
// out, and makes them take effect here.
func (r *Relay) receive(ctx context.Context, in <-chan *message.Message) {
	var under sync.WaitGroup
	defer under.Wait()
	for msg := range in { // bounded by the subscription
		under.Go(func() { answer(r.receiveOne(ctx, msg), msg) })
	}
}

func (r *Relay) receiveOne(ctx context.Context, msg *message.Message) error {
	var out step.Homeward
	if err := out.Unmarshal(msg.Payload); err != nil {
		r.log.Error("millrace: the outcome of a step on another store can't be read", "message", msg.UUID, "error", err)
		return nil // who asked will ask again
	}
	m, exists, err := r.engine.ClaimOne(ctx, out.Seq)
	switch {
	case err != nil:
		return err
	case m == nil && exists:
		return errHeld
	case m == nil: // it has its outcome
		return nil
	}
	u := &step.Unit{Message: m}
	if m.ID != out.ID { // never: numbers are not given twice
		return r.engine.EndWithin(ctx, u, step.ErrInterrupted)
	}
	if out.Failure != nil {
		return r.engine.EndWithin(ctx, u, &step.AwayError{Failure: *out.Failure})
	}
	u.Decide(out.Decisions...)
	return r.engine.EndWithin(ctx, u, nil)
}
