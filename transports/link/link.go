// Package link tells when a transport has lost its server, or something there,
// and when it is back: once each, however many notice. Package link also
// spaces out the attempts in between.
package link

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Link is what may be lost. It is safe for concurrent use.
type Link struct {
	log  *slog.Logger
	what string

	down    atomic.Bool
	mu      sync.Mutex
	failing map[any]bool // who could not do his part when he last tried
	last    time.Time    // when somebody could not
}

// settled is for how long nobody must have failed before something is back:
// drivers go on for a while to answer with the errors of old connections.
const settled = time.Second

// New returns a link that works. what is told as in "lost <what>".
func New(log *slog.Logger, what string) *Link {
	return &Link{log: log, what: what, failing: map[any]bool{}}
}

// Failed says that who could not do his part. It is told as a matter of
// information: the relay warns when messages can't go by the broker.
func (l *Link) Failed(who any, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing[who], l.last = true, time.Now()
	if !l.down.Swap(true) {
		l.log.Info("millrace: lost "+l.what+"; trying again", "error", err)
	}
}

// Works says that who could do his part.
func (l *Link) Works(who any) {
	if !l.down.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failing, who)
	if len(l.failing) == 0 && time.Since(l.last) >= settled && l.down.Swap(false) {
		l.log.Info("millrace: " + l.what + " is back")
	}
}

// Leave says that who has no part any more.
func (l *Link) Leave(who any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failing, who)
}

// Down reports whether it is lost.
func (l *Link) Down() bool { return l.down.Load() }

// Pauses grow from 20 ms to 5 s, none exactly as long as another's. The zero
// value begins anew. It belongs to one goroutine.
type Pauses struct{ last time.Duration }

// Reset begins anew.
func (p *Pauses) Reset() { p.last = 0 }

// Wait waits for the next pause, or until ctx ends.
func (p *Pauses) Wait(ctx context.Context) {
	p.last = min(max(2*p.last, 20*time.Millisecond), 5*time.Second)
	timer := time.NewTimer(p.last/2 + rand.N(p.last/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
