// Package middleware holds the Watermill middlewares that make handlers
// durable. Sagas and plain Watermill handlers run through the very same ones.
//
// Their order, outermost first, is fixed by [Chain]:
//
//	Idempotency  opens the unit of work, and is the only one who commits
//	Poison       what was not decided to be retried is a dead letter
//	Retry        decides whether and when a failed message is tried again
//	Timeout      bounds the handler's time
//	Recover      turns a panic into an error with its stack
package middleware
