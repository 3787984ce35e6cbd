package sqlite

import (
	"context"
	"database/sql/driver"

	"github.com/millrace-go/millrace/store"
)

// Purge implements [store.Store]. A run counts as one, whatever belongs to it.
// It waits and fails as [Store.Commit] does.
func (s *Store) Purge(ctx context.Context, p store.Purge) (int, error) {
	leave, err := s.enter(ctx, "purge")
	if err != nil {
		return 0, err
	}
	defer leave()
	deleted := 0
	err = s.writer.do(ctx, "purge", func(x *session) (bool, error) {
		deleted = 0
		if p.Limit <= 0 {
			return false, nil
		}
		rows, err := x.exec(sqlPurgeRows, int64(s.now()), int64(p.Limit))
		if err != nil {
			return false, err
		}
		runs, err := purgeRuns(x, p.EndedBefore, int64(p.Limit)-rows)
		deleted = int(rows) + runs
		return deleted > 0, err
	}, func(error) { s.cache.clear() })
	if err != nil {
		return 0, err
	}
	return deleted, nil
}

// purgeRuns removes closed runs with all rows that belong to them.
func purgeRuns(x executor, before store.Instant, limit int64) (int, error) {
	if before <= 0 || limit <= 0 {
		return 0, nil
	}
	var owners []string
	err := x.query(sqlPurgeRuns, func(row []driver.Value) error {
		owners = append(owners, store.Num(integer(row[0])))
		return nil
	}, int64(before), limit)
	if err != nil || len(owners) == 0 {
		return 0, err
	}
	kinds, err := kindsOf(x)
	if err != nil {
		return 0, err
	}
	for _, kind := range kinds {
		if err := purgeOwners(x, kind, owners); err != nil {
			return 0, err
		}
	}
	return len(owners), nil
}

func purgeOwners(x executor, kind int64, owners []string) error {
	for _, owner := range owners {
		if _, err := x.exec(sqlPurgeOwned, kind, owner); err != nil {
			return err
		}
		if _, err := x.exec(sqlPurgeBelow, kind, owner); err != nil {
			return err
		}
	}
	return nil
}

// kindsOf lists the kinds that there are rows of, also those that a newer
// program has made.
func kindsOf(x executor) (kinds []int64, err error) {
	for kind := int64(0); ; {
		err := x.query(sqlNextKind, func(row []driver.Value) error {
			kind = integer(row[0])
			return nil
		}, kind)
		if err != nil || kind == 0 {
			return kinds, err
		}
		kinds = append(kinds, kind)
	}
}
