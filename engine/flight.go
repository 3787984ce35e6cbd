package engine

import "sync"

// flights are the calls under way that may bring messages into memory: from
// before the store is asked until the messages are there. What the store says
// is held, and memory does not have yet, may be with one of them.
type flights struct {
	mu   sync.Mutex
	next int64
	open map[int64]struct{}
}

// begin notes a call; landed is to be called when it has ended.
func (f *flights) begin() (landed func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := f.next
	f.next++
	if f.open == nil {
		f.open = map[int64]struct{}{}
	}
	f.open[id] = struct{}{}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.open, id)
	}
}

// mark returns a point in time, for landedBefore.
func (f *flights) mark() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}

// landedBefore reports whether all calls that began before mark have ended.
func (f *flights) landedBefore(mark int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.open {
		if id < mark {
			return false
		}
	}
	return true
}
