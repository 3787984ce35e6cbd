package sqlite

import (
	"context"
	"fmt"

	"github.com/millrace-go/millrace/store"
)

// Commit implements [store.Store]. It has the file to itself while it reads,
// calls decide and writes; decide must not use the store. decide is called
// again only for More: what was read stays true.
//
// It waits for its turn as long as ctx lasts, at most [Config].BusyTimeout;
// then it goes on to the end whatever becomes of ctx. Errors:
// store.ErrUnavailable (busy too long, disk full or failing, file made
// read-only: nothing was written), store.ErrUnknown, store.ErrCorrupt,
// store.ErrClosed, the context's, and one that names a number that was not
// given out or a key that exists.
func (s *Store) Commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	settle, err := s.CommitAhead(ctx, keys, decide)
	if err != nil || settle == nil {
		return err
	}
	return settle()
}

// CommitAhead implements [store.Pipelined]: the changes are applied when it
// returns, and on disk when settle does. Who wrote nothing waits for what it
// was shown: it may be another's commit that is not on disk yet. settle must be
// called, and Close waits for it.
func (s *Store) CommitAhead(ctx context.Context, keys store.Keys, decide store.Decide) (settle func() error, err error) {
	leave, err := s.enter(ctx, "commit")
	if err != nil {
		return nil, err
	}
	defer func() {
		if settle == nil {
			leave()
		}
	}()
	c := commit{spare: block}
	var number int64
	err = s.writer.do(ctx, "commit", func(x *session) (bool, error) {
		changed, err := s.cache.refresh(x)
		if err != nil {
			return false, err
		}
		if changed {
			s.wal.append() // by others, who flush it when they like
		}
		c.x, c.now, c.free, c.known = x, s.now(), s.free, s.cache.runs
		return c.run(keys, decide)
	}, func(err error) {
		s.settle(&c, err)
		number = s.wal.append()
	})
	if err != nil || s.config.Synchronous == Normal {
		return nil, err
	}
	if number == 0 {
		number = s.wal.last()
	}
	if number == 0 {
		return nil, nil
	}
	return func() error {
		defer leave()
		return explain("commit", s.wal.await(number))
	}, nil
}

// settle notes what is known after a COMMIT. If nobody knows what came of it,
// numbers in hand may be in use, and runs in the cache may be old.
func (s *Store) settle(c *commit, err error) {
	if err != nil {
		s.free = numbers{}
		s.cache.clear()
		return
	}
	s.free = c.free
	s.cache.keep(c.wrote)
}

// commit is one commit, in the writer's transaction or a caller's.
type commit struct {
	x     executor
	now   store.Instant
	free  numbers              // before; after run, what is left
	spare int64                // numbers to reserve beyond those that are needed
	known map[int64]*store.Run // need not be read
	wrote []*store.Run
}

// run reads, decides and applies. write tells whether it wrote anything.
func (c *commit) run(keys store.Keys, decide store.Decide) (write bool, err error) {
	counter, alive, err := fence(c.x, keys.Worker)
	if err != nil {
		return false, err
	}
	c.free = c.free.synced(counter)
	r := reader{x: c.x, known: c.known, snap: &store.Snapshot{Now: c.now, NextSeq: c.free.next, Alive: alive}}
	for more := &keys; ; {
		if err := r.read(more); err != nil {
			return false, err
		}
		changes := decide(r.snap)
		if changes == nil {
			return false, nil
		}
		if changes.More == nil {
			return c.apply(r.snap, changes)
		}
		if more = changes.More; more.Worker != 0 {
			_, r.snap.Alive, err = fence(c.x, more.Worker)
		}
		if err != nil {
			return false, err
		}
	}
}

func (c *commit) apply(snap *store.Snapshot, changes *store.Changes) (write bool, err error) {
	if changes.Empty() {
		return false, nil
	}
	first := c.free.next
	if err := check(changes, first); err != nil {
		return false, err
	}
	if c.free, err = c.free.take(c.x, changes.Seqs, c.spare); err != nil {
		return false, err
	}
	w := changer{x: c.x, snap: snap, first: first, wrote: make([]*store.Run, 0, len(changes.PutRuns))}
	err = w.apply(changes)
	c.wrote = w.wrote
	return true, err
}

// check refuses numbers that were not given out: they would collide with
// later ones.
func check(c *store.Changes, first int64) error {
	end := first + c.Seqs
	for _, m := range c.PutMessages {
		if m.Seq <= 0 || m.Seq >= end {
			return fmt.Errorf("message %d: the number was not given out", m.Seq)
		}
	}
	for _, r := range c.PutRuns {
		if r.Key <= 0 || r.Key >= end {
			return fmt.Errorf("run %d: the number was not given out", r.Key)
		}
	}
	return nil
}
