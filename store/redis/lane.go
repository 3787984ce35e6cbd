package redis

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"time"
)

// A lane is what commits go along one behind the other. On the server it shows
// a token, which each commit replaces by its own. So it can be told whether a
// commit whose answer was lost took effect; and one that is still on its way
// can be stopped, since it shows a token that does not count any more.
//
// A lane has numbers in hand, which nobody else is given.
type lane struct {
	name   string
	shown  atomic.Int64 // stamp of the last commit that is known to have landed
	broken atomic.Bool  // it is not known what it shows

	// alone is the stamp of the commit since which this lane was alone: no other has
	// committed, and no reaper has freed anything. So it was when a commit was
	// answered last; 0 if none was.
	alone atomic.Int64

	open      bool // it shows a token; this and the next are guarded by Store.order
	next, end int64
	got       time.Time // when the numbers were
}

func newLane() *lane { return &lane{name: rand.Text()} }

// show notes that a commit has landed, and so all before it. Their answers may
// come in any order.
func (l *lane) show(stamp int64) { rise(&l.shown, stamp) }

// rise sets v to n, unless it is more already.
func rise(v *atomic.Int64, n int64) {
	for was := v.Load(); n > was && !v.CompareAndSwap(was, n); {
		was = v.Load()
	}
}

// token is what the lane shows while no commit is on its way.
func (l *lane) token() string {
	if stamp := l.shown.Load(); stamp != 0 {
		return tokenOf(stamp)
	}
	return l.name
}

const (
	// numbersAtOnce is how many numbers a lane takes in hand.
	numbersAtOnce = 8192

	// numbersAge is how long numbers are good for. Older messages go first, and
	// numbers tell which are older: those that lie about in one process, while
	// others are given out in another, would jump the queue.
	numbersAge = 100 * time.Millisecond
)

// fresh reports whether n numbers are in hand that are not too old.
func (l *lane) fresh(n int64) bool {
	return l.end-l.next > n && time.Since(l.got) < numbersAge
}

// number takes more than n numbers in hand, in a row, and makes the lane show a
// token if it shows none yet. s.order must be held.
func (s *Store) number(ctx context.Context, l *lane, n int64) error {
	token := ""
	if !l.open {
		token = l.name
	}
	a, err := s.list(ctx, numbersScript, l.name, token, n+numbersAtOnce, s.highest)
	if err != nil {
		return err
	}
	first, regular := a.number(), a.number()
	if regular < s.highest {
		s.config.Log.Error("millrace: redis: the server has lost commits that it had answered: it failed over to a replica that lagged behind, or its data are older ones",
			"server", s.address, "numbers were given up to", s.highest, "it knows of", regular)
	}
	if !l.open {
		l.open = true
	}
	l.next, l.end, l.got = first, first+n+numbersAtOnce, time.Now()
	s.highest = max(s.highest, l.end)
	return nil
}
