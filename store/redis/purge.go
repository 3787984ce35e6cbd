package redis

import (
	"context"
	"strconv"

	"github.com/millrace-go/millrace/store"
)

// rowsOfRuns is how many rows of runs one script deletes at most, since the
// server does nothing else meanwhile.
const rowsOfRuns = 10_000

// Purge implements [store.Store]. A run counts as one, whatever belongs to it;
// one that is too big for a call counts in each of them, and goes with the last.
// It works while the server is out of memory. Errors: store.ErrUnavailable,
// store.ErrSchema if the store was emptied or replaced, store.ErrClosed and the
// context's.
func (s *Store) Purge(ctx context.Context, p store.Purge) (int, error) {
	leave, err := s.enter(ctx, "purge")
	if err != nil {
		return 0, err
	}
	defer leave()
	if p.Limit <= 0 {
		return 0, nil
	}
	before := strconv.FormatInt(int64(max(p.EndedBefore, 0)), 10)
	got, err := s.run(ctx, purgeScript, s.clock(), before, p.Limit, rowsOfRuns)
	if err != nil {
		return 0, explain("purge", err)
	}
	n, _ := got.(int64)
	return int(n), nil
}
