package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace-go/millrace/store"
)

// flight is a commit that was decided, and is sent when the one before it has
// landed: it may build on that one.
type flight struct {
	before  *flight
	lane    *lane
	stamp   int64 // the first of its numbers, which no other commit has
	changes *store.Changes
	args    []any

	once sync.Once
	err  error // errConflict if it is to be decided anew
}

// tokenOf is what a commit shows on its lane, and in what it writes.
func tokenOf(stamp int64) string { return string(order.AppendUint64(nil, uint64(stamp))) }

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// land sends a flight, after those before it, and waits until it is known what
// came of it. Whoever needs to know may call it, and all of them wait. Once it
// is sent, it goes on to the end whatever becomes of ctx.
func (s *Store) land(ctx context.Context, f *flight) {
	f.once.Do(func() {
		ctx := context.WithoutCancel(ctx)
		if f.before != nil {
			s.land(ctx, f.before)
		}
		if f.before != nil && f.before.err != nil || f.lane.broken.Load() {
			f.err = errConflict
		} else {
			f.err = s.send(ctx, f)
		}
		if f.err != nil {
			s.cache.undo(f.stamp, f.changes)
		}
		s.doubt.note(f.err)
		f.before, f.args, f.changes = nil, nil, nil
	})
}

// send has the server carry out a flight.
func (s *Store) send(ctx context.Context, f *flight) error {
	l, token := f.lane, tokenOf(f.stamp)
	a, err := s.list(ctx, commitScript, append([]any{l.name, l.token, token}, f.args...)...)
	if err != nil {
		return s.lost(ctx, l, token, err)
	}
	switch a.number() {
	case 1:
		l.token = token
		s.alarm.mine(a.number())
		s.pace.heard(a.number())
		return nil
	case 0:
		if what, _ := a.text(); what == "lane" {
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
func (s *Store) lost(ctx context.Context, l *lane, token string, err error) error {
	if !s.config.Cluster && (answered(err) || unsent(err)) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause *= 2 {
		done, askErr := s.ask(ctx, l, token)
		switch {
		case askErr == nil && done:
			l.token = token
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
func (s *Store) ask(ctx context.Context, l *lane, token string) (done bool, err error) {
	got, err := s.run(ctx, settleScript, l.name, token)
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

// doubt is how far guesses are to be trusted. Where several processes change
// the same rows, what one knows is often old; then it is better to read.
type doubt struct {
	mu    sync.Mutex
	level int // how many commits to read for, after the next wrong guess
	left  int
}

const mostDoubt = 63

// skip reports whether the next commit is to read.
func (d *doubt) skip() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		return false
	}
	d.left--
	return true
}

// note takes up what came of a commit.
func (d *doubt) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case errors.Is(err, errConflict):
		d.level = min(2*d.level+1, mostDoubt)
		d.left = d.level
	case err == nil && d.left == 0:
		d.level /= 2
	}
}
