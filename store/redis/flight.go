package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-go/millrace/store"
)

// flight is a commit that was decided, perhaps on what the one before it will
// have written. It is sent at once, over another connection than that one; if
// it overtakes, it is sent again.
type flight struct {
	before  *flight
	lane    *lane
	expect  string // the token that the lane must show
	stamp   int64  // the first of its numbers, which no other commit has
	changes *store.Changes
	args    []any

	once sync.Once
	sent atomic.Bool
	err  error // errConflict if it is to be decided anew
}

// tokenOf is what a commit shows on its lane, and in what it writes.
func tokenOf(stamp int64) string { return string(order.AppendUint64(nil, uint64(stamp))) }

func tokenOrNone(stamp int64) string {
	if stamp == 0 {
		return ""
	}
	return tokenOf(stamp)
}

// stampOf undoes tokenOf; 0 for what is no token.
func stampOf(token string) int64 {
	if len(token) != stampSize {
		return 0
	}
	return int64(order.Uint64([]byte(token)))
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// land sends a flight, and waits until it is known what came of it. Whoever
// needs to know may call it, and all of them wait. Once it is sent, it goes on to
// the end whatever becomes of ctx.
func (s *Store) land(ctx context.Context, f *flight) {
	f.once.Do(func() {
		f.err = s.follow(context.WithoutCancel(ctx), f)
		if f.err != nil {
			s.cache.undo(f.stamp, f.changes)
		}
		switch {
		case f.err == nil:
			s.doubt.Right()
		case errors.Is(f.err, errConflict):
			s.doubt.Wrong()
		}
		f.before, f.args, f.changes = nil, nil, nil
	})
}

// errEarly says that a commit overtook the one before it, or that this one
// failed: its lane does not show the token yet.
var errEarly = errors.New("the commit before has not landed")

// follow sends a flight behind the one before it.
func (s *Store) follow(ctx context.Context, f *flight) error {
	if f.before == nil {
		return s.send(ctx, f)
	}
	if f.before.sent.Load() {
		if err := s.send(ctx, f); !errors.Is(err, errEarly) {
			return err
		}
	}
	if s.land(ctx, f.before); f.before.err != nil {
		return errConflict
	}
	f.before = nil
	return s.send(ctx, f)
}

// send has the server carry out a flight.
func (s *Store) send(ctx context.Context, f *flight) error {
	l := f.lane
	if l.broken.Load() {
		return errConflict
	}
	f.sent.Store(true)
	asked := time.Now()
	a, err := s.list(ctx, commitScript, append([]any{l.name, f.expect, tokenOf(f.stamp)}, f.args...)...)
	if err != nil {
		return s.lost(ctx, f, err)
	}
	switch a.number() {
	case 1:
		l.show(f.stamp)
		s.alarm.mine(a.number())
		s.pace.Heard(asked, store.Instant(a.number()))
		token, _ := a.text()
		rise(&l.alone, stampOf(token))
		return nil
	case 0:
		what, _ := a.text()
		if what == "lane" && f.before != nil {
			return errEarly
		}
		if what == "lane" {
			l.broken.Store(true) // it was not used for a day
		}
		return errConflict
	}
	id, _ := a.text()
	key, _ := a.text()
	return fmt.Errorf("id %q belongs to run %d", id, number(key))
}

// lost deals with a commit that was not answered as it should be. An error of
// the server says that nothing was written: a script that fails does so before
// it writes. In a cluster the error may be that of a second try.
func (s *Store) lost(ctx context.Context, f *flight, err error) error {
	l := f.lane
	if !s.config.Cluster && (answered(err) || unsent(err)) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause *= 2 {
		done, askErr := s.ask(ctx, f)
		switch {
		case askErr == nil && done:
			l.show(f.stamp)
			return nil
		case askErr == nil:
			l.broken.Store(true)
			return fmt.Errorf("%w: nothing was written: %v", store.ErrUnavailable, err)
		case errors.Is(meaningOf(askErr), store.ErrSchema), !wait(ctx, pause):
			l.broken.Store(true)
			return fmt.Errorf("%w: %v", store.ErrUnknown, err)
		}
	}
}

// ask finds out whether a commit took effect. If it did not, it never will.
func (s *Store) ask(ctx context.Context, f *flight) (done bool, err error) {
	got, err := s.run(ctx, settleScript, f.lane.name, tokenOf(f.stamp))
	n, _ := got.(int64)
	return n == 1, err
}

// wait waits for d; false when ctx ended before.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// time returns the store's time without asking the server, if it can.
func (s *Store) time() (now store.Instant, ok bool) {
	if s.config.Options.Now != nil {
		return store.At(s.config.Options.Now()), true
	}
	return s.pace.Tell()
}
