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

	down    atomic.Bool
	mu      sync.Mutex
	failing map[any]bool // who could not do his part when he last tried
	last    time.Time    // when somebody could not
}

// settled is for how long nobody must have failed before something is back:
// the driver goes on for a second to answer with the errors of old dials.
const settled = time.Second

func newLink(log *slog.Logger, what string) *link {
	return &link{log: log, what: what, failing: map[any]bool{}}
}

// failed says that who could not do his part.
func (l *link) failed(who any, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing[who], l.last = true, time.Now()
	if !l.down.Swap(true) {
		l.log.Warn("redisstream: lost "+l.what+"; trying again", "error", err)
	}
}

// works says that who could do his part.
func (l *link) works(who any) {
	if !l.down.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failing, who)
	if len(l.failing) == 0 && time.Since(l.last) >= settled && l.down.Swap(false) {
		l.log.Info("redisstream: " + l.what + " is back")
	}
}

// leave says that who has no part any more.
func (l *link) leave(who any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failing, who)
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
