package redisstream

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/millrace-go/millrace/store"
)

// unavailable is an error that says that the server can't be reached.
type unavailable struct{ error }

func (u unavailable) Is(target error) bool { return target == store.ErrUnavailable }
func (u unavailable) Unwrap() error        { return u.error }

// refused reports whether err is the answer of a server that works: one that
// has just been started first reads its data, and refuses everything.
func refused(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer) && !strings.HasPrefix(err.Error(), "LOADING") && !strings.HasPrefix(err.Error(), "EXECABORT")
}

// gone reports whether err says that the stream, or its group, was deleted.
func gone(err error) bool {
	return err != nil && (strings.HasPrefix(err.Error(), "NOGROUP") || strings.HasPrefix(err.Error(), "UNBLOCKED"))
}
