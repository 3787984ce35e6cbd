package redisstream

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// link tells when something is lost, and when it is back, each once. It is
// safe for concurrent use.
type link struct {
	log  *slog.Logger
	what string

	down atomic.Bool
	mu   sync.Mutex // makes the lines come in order
}

func newLink(log *slog.Logger, what string) *link { return &link{log: log, what: what} }

func (l *link) failed(err error) {
	if l.down.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.down.Swap(true) {
		l.log.Warn("redisstream: lost "+l.what+"; trying again", "error", err)
	}
}

func (l *link) works() {
	if !l.down.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down.Swap(false) {
		l.log.Info("redisstream: " + l.what + " is back")
	}
}

// refused reports whether err is a living server's answer.
func refused(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer) && !strings.HasPrefix(err.Error(), "LOADING")
}

// gone reports whether err says that the stream, or its group, was deleted.
func gone(err error) bool {
	return err != nil && (strings.HasPrefix(err.Error(), "NOGROUP") || strings.HasPrefix(err.Error(), "UNBLOCKED"))
}

// pauses grow from 20 ms to 5 s, none exactly as long as another's.
type pauses struct{ last time.Duration }

func (p *pauses) reset() { p.last = 0 }

// wait waits for the next pause, or until ctx ends.
func (p *pauses) wait(ctx context.Context) {
	p.last = min(max(2*p.last, 20*time.Millisecond), 5*time.Second)
	timer := time.NewTimer(p.last/2 + rand.N(p.last/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
