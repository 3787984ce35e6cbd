package middleware

import (
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Rules are what a task's handler is run by.
type Rules struct {
	Policy  step.Policy   // zero: step.DefaultPolicy
	Timeout time.Duration // 0: none
}

// Chain returns the middlewares in the order in which a Router is to have
// them, outermost first. rules are looked up for every message; nil means
// the default policy and no timeout.
func Chain(e Engine, rules func(*store.Message) Rules) []message.HandlerMiddleware {
	if rules == nil {
		rules = func(*store.Message) Rules { return Rules{} }
	}
	return []message.HandlerMiddleware{
		Idempotency(e),
		Poison,
		Retry(func(m *store.Message) step.Policy { return rules(m).Policy }),
		Timeout(func(m *store.Message) time.Duration { return rules(m).Timeout }),
		Recover,
	}
}
