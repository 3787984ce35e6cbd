package relay

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// health says once that the broker does not answer, and once that it does
// again, whatever of it that concerns. In between it is given little, now and
// then, to see whether it does.
type health struct {
	log *slog.Logger

	mu      sync.Mutex
	failing map[string]time.Time // what fails, and when it last did: publishing, or the subscription of a topic
	since   time.Time            // when the first of them did
	fails   int                  // of publishing, in a row
	until   time.Time            // when publishing is to be tried again
}

// publishing is what of the broker health is about when nothing else is named.
const publishing = ""

// tried says how much the broker is to be given.
type tried uint8

const (
	fully  tried = iota // it answers
	little              // it is time to try whether it does
	not
)

// bad notes that something fails.
func (h *health) bad(what string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if len(h.failing) == 0 {
		h.since = now
		h.log.Warn("millrace: the broker does not answer; messages go on through the store", "error", err)
	}
	if h.failing == nil {
		h.failing = map[string]time.Time{}
	}
	h.failing[what] = now
	if what == publishing {
		h.until = now.Add(min(50*time.Millisecond<<min(h.fails, 7), 5*time.Second))
		h.fails++
	}
}

// good notes that something works that was begun then. What was begun before
// the last failure says nothing: it may have ended before that, too.
func (h *health) good(what string, begun time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	failed, failing := h.failing[what]
	if !failing || begun.Before(failed) {
		return
	}
	if what == publishing {
		h.fails = 0
	}
	delete(h.failing, what)
	if len(h.failing) == 0 {
		h.log.Warn("millrace: the broker is back", "after", time.Since(h.since).Round(time.Millisecond))
	}
}

// now says how much may be published.
func (h *health) now() tried {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.failing[publishing].IsZero():
		return fully
	case time.Now().Before(h.until):
		return not
	}
	return little
}

// pause waits before the n-th try: from 20 ms to 2 s. It reports false when
// ctx ended.
func pause(ctx context.Context, n int) bool {
	return wait(ctx, min(10*time.Millisecond<<min(n, 8), 2*time.Second))
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
