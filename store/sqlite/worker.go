package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"slices"

	"github.com/millrace-go/millrace/store"
)

// Beat implements [store.Store]. A worker whose lease has ended is kept alive
// by it as long as nobody closed the worker. It waits and fails as
// [Store.Commit] does, and with store.ErrLeaseLost.
func (s *Store) Beat(ctx context.Context, b store.Beat) (store.Beaten, error) {
	leave, err := s.enter(ctx, "beat")
	if err != nil {
		return store.Beaten{}, err
	}
	defer leave()
	out := store.Beaten{Key: b.Worker.Key}
	err = s.writer.do(ctx, "beat", func(x *session) (bool, error) {
		out.Now = s.now()
		out.Until = out.Now.Add(b.Lease)
		if err := storeName(x, &out); err != nil {
			return false, err
		}
		if b.Worker.Key == 0 {
			return true, register(x, &b.Worker, &out)
		}
		known, err := x.exec(sqlBeat, b.Worker.Key, int64(out.Until))
		if err == nil && known == 0 {
			err = fmt.Errorf("worker %d: %w", b.Worker.Key, store.ErrLeaseLost)
		}
		return true, err
	}, nil)
	if err != nil {
		return store.Beaten{}, err
	}
	return out, nil
}

func storeName(x executor, out *store.Beaten) error {
	return x.query(sqlStoreName, func(row []driver.Value) error {
		out.Store = text(row[0])
		return nil
	})
}

func register(x executor, w *store.Worker, out *store.Beaten) error {
	return x.query(sqlInsertWorker, func(row []driver.Value) error {
		out.Key = integer(row[0])
		return nil
	}, w.Host, w.Boot, w.PidNS, int64(w.PID), w.Born, int64(out.Now), int64(out.Until))
}

// Reap implements [store.Store]. Whether a lease has ended is judged by the
// time at which Reap was called: while it waits for its turn, nobody can beat.
// It waits and fails as [Store.Commit] does.
func (s *Store) Reap(ctx context.Context, r store.Reap) (store.Reaped, error) {
	leave, err := s.enter(ctx, "reap")
	if err != nil {
		return store.Reaped{}, err
	}
	defer leave()
	asked := s.now()
	var out store.Reaped
	err = s.writer.do(ctx, "reap", func(x *session) (bool, error) {
		out = store.Reaped{Now: s.now()}
		if err := closeWorkers(x, r, min(asked, out.Now), &out); err != nil {
			return false, err
		}
		if err := freeStrays(x, r, &out); err != nil {
			return false, err
		}
		return len(out.Closed) > 0 || out.Freed > 0, nil
	}, nil)
	if err != nil {
		return store.Reaped{}, err
	}
	return out, nil
}

func closeWorkers(x executor, r store.Reap, now store.Instant, out *store.Reaped) error {
	if !r.Expired && len(r.Workers) == 0 {
		return nil
	}
	ended := int64(-1) // before which no lease ends
	if r.Expired {
		ended = int64(now)
	}
	err := x.query(sqlCloseWorkers, func(row []driver.Value) error {
		out.Closed = append(out.Closed, workerOf(row))
		return nil
	}, listOf(r.Workers), ended)
	slices.SortFunc(out.Closed, func(a, b store.Worker) int { return cmp.Compare(a.Key, b.Key) })
	return err
}

// freeStrays frees what unknown workers hold in one piece of the messages.
func freeStrays(x executor, r store.Reap, out *store.Reaped) error {
	if r.Limit <= 0 {
		out.Next = r.After
		return nil
	}
	var last, count int64
	err := x.query(sqlPiece, func(row []driver.Value) error {
		last, count = integer(row[0]), integer(row[1])
		return nil
	}, r.After, int64(r.Limit))
	if err != nil || count == 0 {
		return err
	}
	freed, err := x.exec(sqlFreeStrays, r.After, last)
	out.Freed = int(freed)
	if count == int64(r.Limit) {
		out.Next = last
	}
	return err
}
