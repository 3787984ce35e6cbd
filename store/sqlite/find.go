package sqlite

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
// store.ErrCorrupt, store.ErrClosed, the context's, and one for a query that
// asks for nothing.
func (s *Store) Find(ctx context.Context, q store.Query) (store.Found, error) {
	leave, err := s.enter(ctx, "find")
	if err != nil {
		return store.Found{}, err
	}
	defer leave()
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	f := store.Found{Now: s.now()}
	switch {
	case q.Messages != nil:
		err = s.findMessages(ctx, q.Messages, q.Limit, &f)
	case q.Runs != nil:
		err = s.findRuns(ctx, q.Runs, q.Limit, &f)
	case q.Rows != nil:
		err = s.findRows(ctx, q.Rows, q.Limit, &f)
	case q.Workers != nil:
		err = s.findWorkers(ctx, &f)
	default:
		err = errors.New("the query names no kind of rows")
	}
	if err != nil {
		return store.Found{}, explain("find", err)
	}
	return f, nil
}

// read runs q on a connection for reading.
func (s *Store) read(ctx context.Context, q *statement, each func([]driver.Value) error, args ...driver.Value) error {
	rows, err := s.readers.QueryContext(ctx, q.text, anys(args)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return scanRows(rows, each)
}

// cut keeps the page of rows that were asked for with one more than limit.
func cut[T any](all []T, limit int) (page []T, more bool) {
	if len(all) > limit {
		return all[:limit], true
	}
	return all, false
}

func (s *Store) findMessages(ctx context.Context, q *store.MessageQuery, limit int, f *store.Found) error {
	damaged := map[*store.Message]bool{}
	note := func(row []driver.Value) error {
		m, err := messageOf(row)
		f.Messages = append(f.Messages, m)
		if err != nil {
			damaged[m] = true
		}
		return nil
	}
	args := []driver.Value{q.After, q.Worker, q.Run, int64(limit) + 1}
	find := sqlFindMessages
	if len(q.Seqs) > 0 {
		find, args = sqlFindMessagesBySeq, append(args, listOf(q.Seqs))
	}
	err := s.read(ctx, find, note, args...)
	f.Messages, f.More = cut(f.Messages, limit)
	f.Messages = slices.DeleteFunc(f.Messages, func(m *store.Message) bool {
		if damaged[m] {
			f.Damaged = append(f.Damaged, m.Seq)
		}
		return damaged[m]
	})
	return err
}

func (s *Store) findRuns(ctx context.Context, q *store.RunQuery, limit int, f *store.Found) error {
	note := func(row []driver.Value) error {
		r, err := runOf(row)
		f.Runs = append(f.Runs, r)
		return err
	}
	if q.Key != 0 {
		return s.read(ctx, sqlFindRun, note, q.Key)
	}
	if q.ID != "" {
		return s.read(ctx, sqlRunByID, note, q.ID)
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
	err := s.read(ctx, find, note, after, listOf(states), int64(limit)+1)
	f.Runs, f.More = cut(f.Runs, limit)
	return err
}

func (s *Store) findRows(ctx context.Context, q *store.RowQuery, limit int, f *store.Found) error {
	note := func(row []driver.Value) error {
		f.Rows = append(f.Rows, rowOf(row))
		return nil
	}
	if k := q.Key; k != nil {
		return s.read(ctx, sqlRow, func(row []driver.Value) error {
			f.Rows = append(f.Rows, &store.Row{RowKey: *k, Until: instant(row[0]), Body: blob(row[1])})
			return nil
		}, int64(k.Kind), k.Owner, k.Name)
	}
	var err error
	kind, n := int64(q.Kind), int64(limit)+1
	switch {
	case q.AllOwners && q.AfterOwner == "" && q.After == "":
		err = s.read(ctx, sqlFindAllFirstRows, note, kind, n)
	case q.AllOwners:
		err = s.read(ctx, sqlFindAllRows, note, kind, q.AfterOwner, q.After, n)
	case q.Newest:
		err = s.read(ctx, sqlFindRowsNewest, note, kind, q.Owner, q.After, n)
	case q.After == "":
		err = s.read(ctx, sqlList, note, kind, q.Owner, n)
	default:
		err = s.read(ctx, sqlFindRows, note, kind, q.Owner, q.After, n)
	}
	f.Rows, f.More = cut(f.Rows, limit)
	return err
}

func (s *Store) findWorkers(ctx context.Context, f *store.Found) error {
	return s.read(ctx, sqlWorkers, func(row []driver.Value) error {
		f.Workers = append(f.Workers, workerOf(row))
		return nil
	})
}
