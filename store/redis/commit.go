package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace-go/millrace/store"
)

// Commit implements [store.Store]. It reads what keys name at one moment, calls
// decide, and writes if all of it still stands as it was read; if not, it reads
// and calls decide again, until ctx ends. What decide asks for in addition is
// read anew together with the rest.
//
// Once the changes are sent it goes on to the end, whatever becomes of ctx. If
// their answer is lost, it asks what came of them, for [Config].Timeout at
// most. Errors: store.ErrUnavailable, store.ErrUnknown, store.ErrCorrupt,
// store.ErrSchema if the store was emptied or replaced, store.ErrClosed, the
// context's, and one that names a number that was not given out, or an id that
// exists.
func (s *Store) Commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	leave, err := s.enter(ctx, "commit")
	if err != nil {
		return err
	}
	defer leave()
	return explain("commit", s.commit(ctx, keys, decide))
}

// errConflict says that what a commit was decided on has changed.
var errConflict = errors.New("rows have changed since they were read")

func (s *Store) commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	l := s.lanes.take()
	for want := int64(0); ; {
		if err := s.ready(ctx, l, want); err != nil {
			return err // the lane is left, since its token may be any
		}
		r, err := s.read(ctx, keys)
		if err != nil {
			s.lanes.give(l)
			return err
		}
		r.snap.NextSeq = l.next
		c := decide(r.snap)
		switch {
		case c == nil:
			s.lanes.give(l)
			return nil
		case c.More != nil:
			keys = joined(keys, *c.More)
			continue
		case c.Empty() && len(c.Publish) == 0:
			s.lanes.give(l)
			return nil
		case c.Seqs > l.end-l.next:
			want = c.Seqs
			continue
		}
		keep, err := s.write(ctx, l, r, c)
		if errors.Is(err, errConflict) && ctx.Err() == nil {
			continue
		}
		if keep {
			s.lanes.give(l)
		}
		return err
	}
}

// spare is how many numbers a commit is expected to use at most. One that uses
// more is decided again.
const spare = 2048

// ready sees to it that a lane has more than n numbers in hand, and a token.
func (s *Store) ready(ctx context.Context, l *lane, n int64) error {
	n = max(n, spare)
	if l.token != "" && l.fresh(n) {
		return nil
	}
	return s.number(ctx, l, n)
}

// write applies changes. keep tells whether the lane can be used again.
func (s *Store) write(ctx context.Context, l *lane, r *reading, c *store.Changes) (keep bool, err error) {
	w := writing{reading: r, changes: c, first: l.next}
	args, err := w.arguments(s.translate)
	if err != nil {
		return true, err
	}
	token := tokenOf(l.next)
	all := append([]any{l.name, l.token, token, numOrNone(r.keys.Worker), bit(r.snap.Alive)}, args...)
	a, err := s.list(context.WithoutCancel(ctx), commitScript, all...)
	if err != nil {
		return s.lost(ctx, l, token, max(c.Seqs, 1), err)
	}
	switch a.number() {
	case 1:
		l.advance(token, max(c.Seqs, 1))
		s.alarm.mine(a.number())
		return true, nil
	case 0:
		if what, _ := a.text(); what == "lane" {
			l.token = "" // it was not used for a day
		}
		return true, errConflict
	}
	id, _ := a.text()
	key, _ := a.text()
	return true, fmt.Errorf("id %q belongs to run %d", id, number(key))
}

// advance notes a commit that took effect.
func (l *lane) advance(token string, used int64) {
	l.token = token
	l.next += used
}

// tokenOf is what a commit shows on its lane, and in what it writes: the first
// of its numbers, which no other commit has.
func tokenOf(first int64) string { return string(order.AppendUint64(nil, uint64(first))) }

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// lost deals with a commit that was not answered as it should be. An error of
// the server says that nothing was written: a script that fails does so before
// it writes. In a cluster the error may be that of a second try.
func (s *Store) lost(ctx context.Context, l *lane, token string, used int64, err error) (keep bool, _ error) {
	if !s.config.Cluster && (answered(err) || unsent(err)) {
		return true, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Timeout)
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause *= 2 {
		done, settleErr := s.settle(ctx, l, token)
		switch {
		case settleErr == nil && done:
			l.advance(token, used)
			return true, nil
		case settleErr == nil:
			return false, fmt.Errorf("%w: nothing was written: %w", store.ErrUnavailable, err)
		case errors.Is(meaningOf(settleErr), store.ErrSchema) || !wait(ctx, pause):
			return false, fmt.Errorf("%w: %w", store.ErrUnknown, err)
		}
	}
}

// settle finds out whether a commit took effect. If it did not, it never will.
func (s *Store) settle(ctx context.Context, l *lane, token string) (done bool, err error) {
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
