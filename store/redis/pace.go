package redis

import (
	"sync"
	"time"

	"github.com/millrace-go/millrace/store"
)

// pace tells the server's time between its answers: what it said last, plus
// what has passed here since. It is behind by no more than an answer takes, and
// never ahead.
type pace struct {
	mu   sync.Mutex
	said store.Instant
	at   time.Time
}

const (
	// paceFor is how long an answer is good for.
	paceFor = 5 * time.Second

	// paceJitter is by how much answers differ in how long they take. Of two
	// that differ by less, the quicker one is kept.
	paceJitter = 20 * time.Millisecond
)

// heard takes up what the server said.
func (p *pace) heard(instant int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if ahead := p.said.Add(now.Sub(p.at)).Sub(store.Instant(instant)); ahead > 0 && ahead < paceJitter && now.Sub(p.at) < paceFor {
		return
	}
	p.said, p.at = store.Instant(instant), now
}

// tell returns the time; ok is false if it must be asked. A machine that slept
// meanwhile can't tell either: its two clocks then differ.
func (p *pace) tell() (now store.Instant, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at.IsZero() {
		return 0, false
	}
	here := time.Now()
	since := here.Sub(p.at)
	if wall := here.Round(0).Sub(p.at.Round(0)); since > paceFor || (wall-since).Abs() > paceJitter {
		return 0, false
	}
	return p.said.Add(since), true
}

// time returns the store's time without asking the server, if it can.
func (s *Store) time() (now store.Instant, ok bool) {
	if s.config.Options.Now != nil {
		return store.At(s.config.Options.Now()), true
	}
	return s.pace.tell()
}
