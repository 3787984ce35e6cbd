package middleware

import (
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/step"
)

// Poison makes a message whose error nobody inside has decided to try again a
// dead letter: it returns a *step.PermanentError. It needs [Idempotency]
// outside of it.
func Poison(h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		out, err := h(msg)
		if err == nil || isDecided(err) {
			return out, err
		}
		return nil, &step.PermanentError{Err: err}
	}
}
