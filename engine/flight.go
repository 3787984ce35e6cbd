package engine

import "sync"

// flights are the calls under way that bring messages into memory or take them
// out: from before the store is asked until memory is as the store says. What
// the two differ in may be with one of them.
type flights struct {
	mu   sync.Mutex
	next int64
	open map[int64]struct{}
}

// flight is a call under way.
type flight struct {
	all *flights
	id  int64
}

// begin notes a call; it must land.
func (f *flights) begin() flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := f.next
	f.next++
	if f.open == nil {
		f.open = map[int64]struct{}{}
	}
	f.open[id] = struct{}{}
	return flight{f, id}
}

// land notes that the call has ended.
func (c flight) land() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	delete(c.all.open, c.id)
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
