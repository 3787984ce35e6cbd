package known

import (
	"sync"
	"time"

	"github.com/millrace-go/millrace/store"
)

// Pace tells the server's time between its answers: what it said, plus what has
// passed here since it was asked. So it is never behind, and what is due some
// time from now does not come early; and it is ahead by no more than the answer
// took. The zero value has heard nothing. Safe for concurrent use.
type Pace struct {
	mu   sync.Mutex
	said store.Instant
	at   time.Time     // when it was asked
	took time.Duration // by the answer
}

const (
	// paceFor is how long an answer is good for.
	paceFor = 5 * time.Second

	// paceMost is the most that an answer may take: it is not known when in
	// this time the server looked at its clock.
	paceMost = 100 * time.Millisecond

	// paceJitter is by how much clocks may differ in their speed, and how little
	// a slower answer tells.
	paceJitter = 20 * time.Millisecond
)

// Heard takes up what the server said that was asked at a time. The quickest
// answer is kept, until it is old or the server's clock was set.
func (p *Pace) Heard(asked time.Time, said store.Instant) {
	here := time.Now()
	took := here.Sub(asked)
	if took > paceMost {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if ahead := p.said.Add(asked.Sub(p.at)).Sub(said); here.Sub(p.at) < paceFor && p.took <= took &&
		ahead > -took-paceJitter && ahead < p.took+paceJitter {
		return
	}
	p.said, p.at, p.took = said, asked, took
}

// Tell returns the time; ok is false if the server must be asked. A machine
// that slept meanwhile can't tell either: its two clocks then differ.
func (p *Pace) Tell() (now store.Instant, ok bool) {
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
