package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"math"
	"slices"

	"github.com/millrace-go/millrace/store"
)

const defaultLimit = 100

// Find implements [store.Store]. It blocks no writer and waits for none. All
// workers are one page, whatever the limit. Errors: store.ErrUnavailable,
// store.ErrCorrupt, store.ErrSchema, store.ErrClosed, the context's, and one for
// a query that asks for nothing.
func (s *Store) Find(ctx context.Context, q store.Query) (store.Found, error) {
	leave, err := s.enter(ctx, "find")
	if err != nil {
		return store.Found{}, err
	}
	defer leave()
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	var f store.Found
	err = s.pool.with(ctx, func(x *session) (err error) {
		f, err = s.find(x, q)
		return err
	})
	if err != nil {
		return store.Found{}, explain("find", err)
	}
	return f, nil
}

func (s *Store) find(x *session, q store.Query) (f store.Found, err error) {
	if now, ok := s.at().(int64); ok {
		f.Now = store.Instant(now)
	} else if err := x.query(sqlNow, func(row []driver.Value) error {
		f.Now = instant(row[0])
		return nil
	}); err != nil {
		return f, err
	}
	switch {
	case q.Messages != nil:
		err = findMessages(x, q.Messages, q.Limit, &f)
	case q.Runs != nil:
		err = findRuns(x, q.Runs, q.Limit, &f)
	case q.Rows != nil:
		err = findRows(x, q.Rows, q.Limit, &f)
	case q.Workers != nil:
		err = x.query(sqlWorkers, func(row []driver.Value) error {
			f.Workers = append(f.Workers, workerOf(row))
			return nil
		})
	default:
		err = errors.New("the query names no kind of rows")
	}
	return f, err
}

// cut keeps the page of rows that were asked for with one more than limit.
func page[T any](all []T, limit int) (cut []T, more bool) {
	if len(all) > limit {
		return all[:limit], true
	}
	return all, false
}

func findMessages(x *session, q *store.MessageQuery, limit int, f *store.Found) error {
	damaged := map[*store.Message]bool{}
	note := func(row []driver.Value) error {
		m, err := messageOf(row)
		f.Messages = append(f.Messages, m)
		if err != nil {
			damaged[m] = true
		}
		return nil
	}
	args := []any{q.After, q.Worker, q.Run, int64(limit) + 1}
	find := sqlFindMessages
	if len(q.Seqs) > 0 {
		find, args = sqlFindMessagesBySeq, append(args, integers(q.Seqs))
	}
	err := x.query(find, note, args...)
	f.Messages, f.More = page(f.Messages, limit)
	f.Messages = slices.DeleteFunc(f.Messages, func(m *store.Message) bool {
		if damaged[m] {
			f.Damaged = append(f.Damaged, m.Seq)
		}
		return damaged[m]
	})
	return err
}

func findRuns(x *session, q *store.RunQuery, limit int, f *store.Found) error {
	note := func(row []driver.Value) error {
		r, err := runOf(row)
		f.Runs = append(f.Runs, r)
		return err
	}
	if q.Key != 0 {
		return x.query(sqlFindRun, note, q.Key)
	}
	if q.ID != "" {
		return x.query(sqlFindRunByID, note, q.ID)
	}
	var states []int64
	for _, st := range q.Status {
		states = append(states, int64(st))
	}
	find, after := sqlFindRuns, q.After
	if q.Newest {
		find = sqlFindRunsNewest
		if after == 0 {
			after = math.MaxInt64
		}
	}
	err := x.query(find, note, after, integers(states), int64(limit)+1)
	f.Runs, f.More = page(f.Runs, limit)
	return err
}

func findRows(x *session, q *store.RowQuery, limit int, f *store.Found) error {
	note := func(row []driver.Value) error {
		f.Rows = append(f.Rows, rowOf(row))
		return nil
	}
	if k := q.Key; k != nil {
		return x.query(sqlFindRow, note, int64(k.Kind), k.Owner, k.Name)
	}
	var err error
	kind, n := int64(q.Kind), int64(limit)+1
	switch {
	case q.AllOwners && q.AfterOwner == "" && q.After == "":
		err = x.query(sqlFindAllFirstRows, note, kind, n)
	case q.AllOwners:
		err = x.query(sqlFindAllRows, note, kind, q.AfterOwner, q.After, n)
	case q.Newest && q.After == "":
		err = x.query(sqlFindLastRows, note, kind, q.Owner, n)
	case q.Newest:
		err = x.query(sqlFindRowsNewest, note, kind, q.Owner, q.After, n)
	case q.After == "":
		err = x.query(sqlFindFirstRows, note, kind, q.Owner, n)
	default:
		err = x.query(sqlFindRows, note, kind, q.Owner, q.After, n)
	}
	f.Rows, f.More = page(f.Rows, limit)
	return err
}
