package middleware

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Retry decides by policy whether and when a failed message is tried again:
// it then returns a *step.RetryError. Nothing waits in memory, and attempts
// are counted in the message's row, so that both outlive the process. An
// error that is decided already (a *step.RetryError or *step.PermanentError)
// and the error of the last attempt are returned as they are. It needs
// [Idempotency] outside of it.
func Retry(policy func(*store.Message) step.Policy) message.HandlerMiddleware {
	return func(h message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			out, err := h(msg)
			u := step.UnitFrom(msg.Context())
			if err == nil || u == nil || isDecided(err) {
				return out, err
			}
			if delay, again := next(policy(u.Message).WithDefaults(), u, err); again {
				return nil, &step.RetryError{After: delay, Err: err}
			}
			return nil, err
		}
	}
}

func next(p step.Policy, u *step.Unit, err error) (time.Duration, bool) {
	var since time.Duration
	if u.Message.First != 0 {
		since = max(u.Now.Sub(u.Message.First), 0)
	}
	if errors.Is(err, step.ErrUnknownTask) { // perhaps a newer process knows it
		p = step.Policy{Initial: p.Initial, Factor: p.Factor, Cap: min(p.Cap, time.Minute), Elapsed: p.UnknownFor}.WithDefaults()
		p.Attempts = 0
	}
	return p.Next(u.Message.Attempt+1, since, rand.Float64())
}

func isDecided(err error) bool {
	var (
		retry     *step.RetryError
		permanent *step.PermanentError
	)
	return errors.As(err, &retry) || errors.As(err, &permanent)
}
