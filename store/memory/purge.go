package memory

import (
	"context"

	"github.com/millrace-go/millrace/store"
)

// Purge implements [store.Store]. A run counts as one, whatever belongs to it.
// Errors: [store.ErrClosed] and the context's.
func (s *Store) Purge(ctx context.Context, p store.Purge) (int, error) {
	if err := s.enter(ctx, "purge"); err != nil {
		return 0, err
	}
	defer s.db.mu.Unlock()
	n := s.db.purgeRows(s.instant(), p.Limit)
	return n + s.db.purgeRuns(p.EndedBefore, p.Limit-n), nil
}

func (db *database) purgeRows(now store.Instant, limit int) int {
	var keys []store.RowKey
	for row := range db.rows.expired(now) {
		if len(keys) >= limit {
			break
		}
		keys = append(keys, row.RowKey)
	}
	for _, k := range keys {
		db.rows.delete(k)
	}
	return len(keys)
}

func (db *database) purgeRuns(before store.Instant, limit int) int {
	n := 0
	for ; n < limit; n++ {
		r, ok := db.ended.Min()
		if !ok || r.Ended >= before {
			break
		}
		db.deleteRun(r)
	}
	return n
}
