package middleware

import (
	"runtime/debug"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/step"
)

// Recover turns a handler's panic into a *step.PanicError, a failed attempt
// with its stack. runtime.Goexit is not caught.
func Recover(h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) (out []*message.Message, err error) {
		defer func() {
			if v := recover(); v != nil {
				out, err = nil, &step.PanicError{Value: v, Stack: string(debug.Stack())}
			}
		}()
		return h(msg)
	}
}
