package memory

import (
	"context"
	"fmt"

	"github.com/millrace-go/millrace/store"
)

// Commit implements [store.Store]. decide is called under the database's
// mutex: it must not call the store. It is never called again for a conflict,
// since there are none. Errors: [store.ErrClosed], the context's, and one that
// names what is wrong with changes that can't be applied; after any of them
// nothing was written.
func (s *Store) Commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	if err := s.enter(ctx, "commit"); err != nil {
		return err
	}
	defer s.db.mu.Unlock()
	snap := &store.Snapshot{Now: s.instant(), NextSeq: s.db.next}
	for more := &keys; more != nil; {
		s.db.read(snap, more)
		c := decide(snap)
		if c == nil {
			return nil
		}
		if more = c.More; more == nil {
			return s.db.apply(c)
		}
	}
	return nil
}

// apply writes c. What a message or run with an old number would update may
// be gone; then there is nothing to update, as in SQL.
func (db *database) apply(c *store.Changes) error {
	if c.Empty() {
		return nil
	}
	if err := db.check(c); err != nil {
		return fmt.Errorf("memory: commit: %w", err)
	}
	for _, m := range c.PutMessages {
		if m.Seq >= db.next || db.messages.get(m.Seq) != nil {
			db.putMessage(m)
		}
	}
	for _, seq := range c.DeleteMessages {
		db.deleteMessage(seq)
	}
	for _, r := range c.PutRuns {
		if r.Key >= db.next || db.runs.get(r.Key) != nil {
			db.putRun(r)
		}
	}
	for _, r := range c.PutRows {
		db.rows.put(r)
	}
	for _, k := range c.DeleteRows {
		db.rows.delete(k)
	}
	db.next += c.Seqs
	return nil
}

// check refuses what a database would refuse. It takes the ids of new runs,
// or none of them.
func (db *database) check(c *store.Changes) error {
	end := db.next + c.Seqs
	for _, m := range c.PutMessages {
		if m.Seq <= 0 || m.Seq >= end {
			return fmt.Errorf("message %d: number was not given out", m.Seq)
		}
	}
	for i, r := range c.PutRuns {
		if r.Key <= 0 || r.Key >= end {
			db.giveBack(c.PutRuns[:i])
			return fmt.Errorf("run %d: number was not given out", r.Key)
		}
		if r.Key < db.next {
			continue
		}
		if other := db.runIDs[r.ID]; other != nil {
			db.giveBack(c.PutRuns[:i])
			return fmt.Errorf("run %d: id %q belongs to run %d", r.Key, r.ID, other.Key)
		}
		db.runIDs[r.ID] = r
	}
	return nil
}

func (db *database) giveBack(runs []*store.Run) {
	for _, r := range runs {
		if r.Key >= db.next {
			delete(db.runIDs, r.ID)
		}
	}
}
