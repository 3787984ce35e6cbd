package memory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/millrace-go/millrace/store"
)

const defaultLimit = 100

// Find implements [store.Store]. All workers are one page, whatever the limit.
// Errors: [store.ErrClosed], the context's, and one for a query that asks for
// nothing.
func (s *Store) Find(ctx context.Context, q store.Query) (store.Found, error) {
	if err := s.enter(ctx, "find"); err != nil {
		return store.Found{}, err
	}
	defer s.db.mu.Unlock()
	limit := q.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	f := store.Found{Now: s.instant()}
	switch {
	case q.Messages != nil:
		f.Messages, f.More = page(s.db.findMessages(q.Messages), limit)
	case q.Runs != nil:
		f.Runs, f.More = page(s.db.findRuns(q.Runs), limit)
	case q.Rows != nil:
		f.Rows, f.More = page(s.db.findRows(q.Rows), limit)
	case q.Workers != nil:
		f.Workers = slices.SortedFunc(maps.Values(s.db.workers), byWorkerKey)
	default:
		return f, fmt.Errorf("memory: find: %w", errors.New("query names no kind of rows"))
	}
	return f, nil
}

// page copies the first limit rows, and says whether there are more.
func page[T any](rows iter.Seq[*T], limit int) (found []*T, more bool) {
	for row := range rows {
		if len(found) == limit {
			return found, true
		}
		c := *row
		found = append(found, &c)
	}
	return found, false
}

func (db *database) findMessages(q *store.MessageQuery) iter.Seq[*store.Message] {
	all := db.messages.after(q.After)
	if len(q.Seqs) > 0 {
		all = db.messagesOf(q.Seqs, q.After)
	}
	return func(yield func(*store.Message) bool) {
		for _, m := range all {
			wanted := (q.Worker == 0 || m.Worker == q.Worker) && (q.Run == 0 || m.Run == q.Run)
			if wanted && !yield(m) {
				return
			}
		}
	}
}

// messagesOf gives those of seqs that exist and are behind after, in order.
func (db *database) messagesOf(seqs []int64, after int64) iter.Seq2[int64, *store.Message] {
	return func(yield func(int64, *store.Message) bool) {
		for _, seq := range slices.Compact(slices.Sorted(slices.Values(seqs))) {
			m := db.messages.get(seq)
			if seq > after && m != nil && !yield(seq, m) {
				return
			}
		}
	}
}

func (db *database) findRuns(q *store.RunQuery) iter.Seq[*store.Run] {
	if q.Key != 0 {
		return one(db.runs.get(q.Key))
	}
	if q.ID != "" {
		return one(db.runIDs[q.ID])
	}
	all := db.runs.after(q.After)
	if q.Newest {
		all = db.runs.before(q.After)
	}
	return func(yield func(*store.Run) bool) {
		for _, r := range all {
			if len(q.Status) > 0 && !slices.Contains(q.Status, r.Status) {
				continue
			}
			if !yield(r) {
				return
			}
		}
	}
}

func one[T any](row *T) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		if row != nil {
			yield(row)
		}
	}
}

// findRows gives the rows behind the last one of the page before. There is no
// such row when After (and AfterOwner, if it counts) are empty.
func (db *database) findRows(q *store.RowQuery) iter.Seq[*store.Row] {
	if q.Key != nil {
		return one(db.rows.get(*q.Key))
	}
	if q.Newest {
		return db.rows.down(q.Kind, q.Owner, q.After)
	}
	after := store.RowKey{Kind: q.Kind, Owner: q.Owner, Name: q.After}
	first := q.After == ""
	if q.AllOwners {
		after.Owner = q.AfterOwner
		first = first && q.AfterOwner == ""
	}
	return func(yield func(*store.Row) bool) {
		for row := range db.rows.from(after) {
			if !q.AllOwners && row.Owner != q.Owner {
				return
			}
			if !first && row.RowKey == after {
				continue
			}
			if !yield(row) {
				return
			}
		}
	}
}
