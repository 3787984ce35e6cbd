package relay

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// health says once that the broker does not answer, and once that it does
// again. In between the broker is tried now and then, with little.
type health struct {
	log *slog.Logger

	mu    sync.Mutex
	since time.Time // when it ceased to answer; zero: it answers
	fails int       // in a row
	until time.Time // not to be tried before
}

// tried says how much the broker is to be given while it does not answer.
type tried uint8

const (
	fully  tried = iota // it answers
	little              // it is time to try whether it does
	not
)

func (h *health) bad(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.since.IsZero() {
		h.since = now
		h.log.Warn("millrace: the broker does not answer; messages go on through the store", "error", err)
	}
	h.until = now.Add(min(50*time.Millisecond<<min(h.fails, 7), 5*time.Second))
	h.fails++
}

func (h *health) good() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.since.IsZero() {
		h.log.Warn("millrace: the broker is back", "after", time.Since(h.since).Round(time.Millisecond))
	}
	h.since, h.fails = time.Time{}, 0
}

func (h *health) now() tried {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.since.IsZero():
		return fully
	case time.Now().Before(h.until):
		return not
	}
	return little
}

// pause waits before the n-th try: from 20 ms to 2 s. It reports false when
// ctx ended.
func pause(ctx context.Context, n int) bool {
	timer := time.NewTimer(min(10*time.Millisecond<<min(n, 8), 2*time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
