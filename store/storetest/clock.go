package storetest

import (
	"sync"
	"time"

	"github.com/millrace-go/millrace/store"
)

// Clock stands still until it is told to go on. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows start, or some fixed time for the zero
// one.
func NewClock(start time.Time) *Clock {
	if start.IsZero() {
		start = time.Date(2025, time.March, 14, 9, 26, 53, 0, time.UTC)
	}
	return &Clock{now: start}
}

// Now returns the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Instant returns the time that the clock shows, as stores keep it.
func (c *Clock) Instant() store.Instant { return store.At(c.Now()) }

// Advance moves the clock by d, back if d is negative, and returns what it
// shows then.
func (c *Clock) Advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}

// Options returns options for a store that goes by c.
func (c *Clock) Options() store.Options { return store.Options{Now: c.Now} }
