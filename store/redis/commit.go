package redis

import (
	"context"
	"errors"

	"github.com/millrace-go/millrace/store"
)

// Commit implements [store.Store]. It decides on what this Store knows of the
// rows, or reads them at one moment, and writes if all of it stands so on the
// server; if not, it reads and calls decide again, until ctx ends. What decide
// asks for in addition is read anew together with the rest.
//
// Once the changes are sent it goes on to the end, whatever becomes of ctx. If
// their answer is lost, it asks what came of them, for [Config].Timeout at
// most. Errors: store.ErrUnavailable, store.ErrUnknown, store.ErrCorrupt,
// store.ErrSchema if the store was emptied or replaced, store.ErrClosed, the
// context's, and one that names a number that was not given out, or an id that
// exists.
func (s *Store) Commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	settle, err := s.CommitAhead(ctx, keys, decide)
	if err != nil || settle == nil {
		return err
	}
	return settle()
}

// CommitAhead implements [store.Pipelined]: while one commit is on its way, the
// next is decided on what that one will have written. settle sends it when its
// turn has come. If one before it turns out to have failed, or rows have
// changed on the server, settle calls decide again and so on, and has the
// errors of Commit. settle must be called, and Close waits for it.
func (s *Store) CommitAhead(ctx context.Context, keys store.Keys, decide store.Decide) (settle func() error, err error) {
	leave, err := s.enter(ctx, "commit")
	if err != nil {
		return nil, err
	}
	ahead := false
	defer func() {
		if !ahead {
			leave()
		}
	}()
	s.order.Lock()
	defer s.order.Unlock()
	f := s.guess(ctx, keys, decide)
	if ahead = f != nil; ahead {
		return func() error {
			defer leave()
			return explain("commit", s.settle(ctx, f, keys, decide))
		}, nil
	}
	return nil, explain("commit", s.commit(ctx, keys, decide))
}

// errConflict says that what a commit was decided on is not so.
var errConflict = errors.New("rows have changed since they were read")

// guess decides a commit on what is known here. It returns nil if that is not
// enough. s.order must be held.
func (s *Store) guess(ctx context.Context, keys store.Keys, decide store.Decide) *flight {
	l := s.lane
	if l == nil || l.broken.Load() || s.doubt.Skip() {
		return nil
	}
	now, ok := s.time()
	if !ok || !l.fresh(spare) && s.number(ctx, l, spare) != nil {
		return nil
	}
	for {
		r, ok := s.cache.read(keys)
		if !ok {
			return nil
		}
		r.snap.Now, r.snap.NextSeq = now, l.next
		c := tentative(decide, r.snap)
		switch {
		case c == nil, c.More == nil && c.Empty() && len(c.Publish) == 0:
			return nil // what nothing is written for is not checked
		case c.More != nil:
			keys = joined(keys, *c.More)
		case c.Seqs > l.end-l.next:
			return nil
		default:
			f, _ := s.prepare(l, r, c) // what is wrong shows again when it is read
			return f
		}
	}
}

// tentative decides on what may never have been so; what can't be decided then
// is read.
func tentative(decide store.Decide, snap *store.Snapshot) (c *store.Changes) {
	defer func() {
		if recover() != nil {
			c = nil
		}
	}()
	return decide(snap)
}

// prepare makes a flight of changes. Commits that are decided from here on see
// them.
func (s *Store) prepare(l *lane, r *reading, c *store.Changes) (*flight, error) {
	w := writing{reading: r, changes: c, first: l.next, alone: l.alone.Load()}
	args, err := w.arguments(s.translate)
	if err != nil {
		return nil, err
	}
	f := &flight{before: s.last, lane: l, expect: l.token(), stamp: l.next, changes: c, args: args}
	if s.last != nil {
		f.expect = tokenOf(s.last.stamp)
	}
	s.last = f
	s.cache.wrote(&w)
	l.next += max(c.Seqs, 1)
	return f, nil
}

// settle sends a commit that was decided ahead. What it was decided on may turn
// out to be wrong; then it is decided anew.
func (s *Store) settle(ctx context.Context, f *flight, keys store.Keys, decide store.Decide) error {
	s.land(ctx, f)
	if !errors.Is(f.err, errConflict) {
		return f.err
	}
	s.order.Lock()
	defer s.order.Unlock()
	return s.commit(ctx, keys, decide)
}

// commit reads, decides and writes until that holds. s.order must be held.
func (s *Store) commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	if s.last != nil {
		s.land(ctx, s.last)
		s.last = nil
	}
	for want := int64(spare); ; {
		l, err := s.ready(ctx, want)
		if err != nil {
			return err
		}
		r, err := s.read(ctx, keys)
		if err != nil {
			return err
		}
		s.cache.saw(r)
		r.snap.NextSeq = l.next
		c := decide(r.snap)
		switch {
		case c == nil, c.More == nil && c.Empty() && len(c.Publish) == 0:
			return nil
		case c.More != nil:
			keys = joined(keys, *c.More)
			continue
		case c.Seqs > l.end-l.next:
			want = c.Seqs
			continue
		}
		f, err := s.prepare(l, r, c)
		if err != nil {
			return err
		}
		s.land(ctx, f)
		s.last = nil
		if !errors.Is(f.err, errConflict) || ctx.Err() != nil {
			return f.err
		}
	}
}

// spare is how many numbers a commit is expected to use at most. One that uses
// more is decided again.
const spare = 2048

// ready returns a lane that has more than n numbers in hand. No commit may be
// on its way.
func (s *Store) ready(ctx context.Context, n int64) (*lane, error) {
	if s.lane == nil || s.lane.broken.Load() {
		s.lane = newLane()
	}
	if s.lane.open && s.lane.fresh(n) {
		return s.lane, nil
	}
	return s.lane, s.number(ctx, s.lane, n)
}
