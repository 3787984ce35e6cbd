package redis

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

// A lane is what commits go along one behind the other. On the server it shows
// a token, which each commit replaces by its own. So it can be told whether a
// commit whose answer was lost took effect; and one that is still on its way
// can be stopped, since it shows a token that does not count any more.
//
// A lane has numbers in hand, which nobody else is given.
type lane struct {
	name      string
	token     string
	next, end int64
	got       time.Time // when the numbers were
}

const (
	// numbersAtOnce is how many numbers a lane takes in hand.
	numbersAtOnce = 8192

	// numbersAge is how long numbers are good for. Older messages go first, and
	// numbers tell which are older: those that lie about in one process, while
	// others are given out in another, would jump the queue.
	numbersAge = 100 * time.Millisecond
)

// lanes are those of one Store that no commit is on.
type lanes struct {
	mu      sync.Mutex
	idle    []*lane
	highest int64 // end of the numbers that were given to this Store
}

// take takes the lane that was used last, or a new one.
func (l *lanes) take() *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.idle); n > 0 {
		last := l.idle[n-1]
		l.idle = l.idle[:n-1]
		return last
	}
	return &lane{name: rand.Text()}
}

func (l *lanes) give(back *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = append(l.idle, back)
}

// fresh reports whether n numbers are in hand that are not too old.
func (l *lane) fresh(n int64) bool {
	return l.end-l.next > n && time.Since(l.got) < numbersAge
}

// number takes more than n numbers in hand, in a row.
func (s *Store) number(ctx context.Context, l *lane, n int64) error {
	s.lanes.mu.Lock()
	floor := s.lanes.highest
	s.lanes.mu.Unlock()
	token := l.token
	if token == "" {
		token = l.name
	}
	a, err := s.list(ctx, numbersScript, l.name, token, n+numbersAtOnce, floor)
	if err != nil {
		return err
	}
	first, regular := a.number(), a.number()
	if regular < floor {
		s.config.Log.Error("millrace: redis: the server has lost commits that it had answered: it failed over to a replica that lagged behind, or its data are older ones",
			"server", s.address, "numbers were given up to", floor, "and it knows only of", regular)
	}
	l.token, l.next, l.end, l.got = token, first, first+n+numbersAtOnce, time.Now()
	s.lanes.mu.Lock()
	s.lanes.highest = max(s.lanes.highest, l.end)
	s.lanes.mu.Unlock()
	return nil
}
