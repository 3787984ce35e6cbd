package middleware

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Timeout ends the context of a handler after the time that limit gives for
// its message; 0 is no limit. The handler must heed its context. An error
// after that is a failed attempt like any other.
func Timeout(limit func(*store.Message) time.Duration) message.HandlerMiddleware {
	return func(h message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			u := step.UnitFrom(msg.Context())
			if u == nil {
				return h(msg)
			}
			d := limit(u.Message)
			if d <= 0 {
				return h(msg)
			}
			outer := msg.Context()
			ctx, cancel := context.WithTimeout(outer, d)
			defer cancel()
			msg.SetContext(ctx)
			defer msg.SetContext(outer)
			return h(msg)
		}
	}
}
