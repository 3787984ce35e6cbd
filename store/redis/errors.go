package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	client "github.com/redis/go-redis/v9"

	"github.com/millrace-go/millrace/store"
)

// explain names the operation that failed, and gives what went wrong the
// meaning that callers decide by.
func explain(op string, err error) error {
	if err == nil {
		return nil
	}
	if meaning := meaningOf(err); meaning != nil && !errors.Is(err, meaning) {
		return fmt.Errorf("redis: %s: %w: %v", op, meaning, err) // a timeout of ours is not the caller's
	}
	return fmt.Errorf("redis: %s: %w", op, err)
}

// meaningOf returns the sentinel for err, nil if there is none.
func meaningOf(err error) error {
	for _, known := range []error{store.ErrUnknown, store.ErrUnavailable, store.ErrCorrupt, store.ErrSchema, context.Canceled} {
		if errors.Is(err, known) {
			return known
		}
	}
	if answered(err) {
		return meaningOfReply(err)
	}
	var network net.Error
	switch {
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, client.ErrPoolTimeout), errors.Is(err, client.ErrPoolExhausted):
		return store.ErrUnavailable
	}
	return nil
}

// replies are how errors of the server begin, and what they mean: it can't
// take what was asked now, and did nothing.
var replies = map[string]error{
	"MRLEASE":     store.ErrLeaseLost,
	"MRSTORE":     store.ErrSchema,
	"LOADING":     store.ErrUnavailable,
	"READONLY":    store.ErrUnavailable,
	"MASTERDOWN":  store.ErrUnavailable,
	"CLUSTERDOWN": store.ErrUnavailable,
	"TRYAGAIN":    store.ErrUnavailable,
	"MOVED":       store.ErrUnavailable,
	"ASK":         store.ErrUnavailable,
	"OOM":         store.ErrUnavailable,
	"MISCONF":     store.ErrUnavailable,
	"NOREPLICAS":  store.ErrUnavailable,
	"BUSY":        store.ErrUnavailable,
	"UNBLOCKED":   store.ErrUnavailable,
}

func meaningOfReply(err error) error {
	var reply client.Error
	if !errors.As(err, &reply) {
		return nil
	}
	text := reply.Error()
	if strings.HasPrefix(text, "ERR max number of clients") {
		return store.ErrUnavailable
	}
	word, _, _ := strings.Cut(text, " ")
	return replies[word]
}

// answered reports whether err is the server's own answer, and not the lack of
// one.
func answered(err error) bool {
	var reply client.Error
	return errors.As(err, &reply)
}

// unsent reports whether err says that a command never left this process.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" ||
		errors.Is(err, client.ErrPoolTimeout) || errors.Is(err, client.ErrPoolExhausted) || errors.Is(err, client.ErrClosed)
}
