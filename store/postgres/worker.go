package postgres

import (
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"slices"

	"github.com/millrace-go/millrace/store"
)

// Beat implements [store.Store]. A worker whose lease has ended is kept alive
// by it as long as nobody closed the worker. It waits for no commit. Errors:
// store.ErrLeaseLost, store.ErrUnavailable, store.ErrSchema, store.ErrClosed and
// the context's.
func (s *Store) Beat(ctx context.Context, b store.Beat) (store.Beaten, error) {
	var out store.Beaten
	note := func(row []driver.Value) error {
		out = store.Beaten{Key: integer(row[0]), Now: instant(row[1]), Until: instant(row[2]), Store: text(row[3])}
		return nil
	}
	err := s.call(ctx, "beat", func(x *session) error {
		w := &b.Worker
		if w.Key == 0 {
			return x.query(sqlInsertWorker, note, w.Host, w.Boot, w.PidNS, int64(w.PID), w.Born,
				b.Lease.Microseconds(), s.at())
		}
		err := x.query(sqlBeat, note, w.Key, b.Lease.Microseconds(), s.at())
		if err == nil && out.Key == 0 {
			err = fmt.Errorf("worker %d: %w", w.Key, store.ErrLeaseLost)
		}
		return err
	})
	return out, err
}

// call runs f, which is one statement, on a session.
func (s *Store) call(ctx context.Context, op string, f func(*session) error) error {
	leave, err := s.enter(ctx, op)
	if err != nil {
		return err
	}
	defer leave()
	x, err := s.pool.take(ctx)
	if err != nil {
		return explain(op, err)
	}
	err = f(x)
	s.pool.give(x)
	return explain(op, err)
}

// mostReaped is how many workers millrace_reap closes at a time.
const mostReaped = 256

// Reap implements [store.Store]. Whether a lease has ended is judged by the
// time at which Reap was called. Closing a worker waits for its commits under
// way. Of many, 256 are closed at a time: after an error, some may be. Errors: store.ErrUnavailable, store.ErrSchema, store.ErrClosed and the
// context's.
func (s *Store) Reap(ctx context.Context, r store.Reap) (store.Reaped, error) {
	var out store.Reaped
	for more := true; more; {
		err := s.call(ctx, "reap", func(x *session) error {
			return x.query(sqlReap, func(row []driver.Value) error {
				if integer(row[0]) == 1 {
					out.Closed = append(out.Closed, workerOf(row[1:]))
					return nil
				}
				out.Freed, more, out.Now, out.Next = int(integer(row[1])), integer(row[5]) >= mostReaped, instant(row[7]), integer(row[8])
				return nil
			}, s.at(), r.Expired, integers(r.Workers), r.After, int64(max(r.Limit, 0)))
		})
		if err != nil {
			return store.Reaped{}, err
		}
	}
	slices.SortFunc(out.Closed, func(a, b store.Worker) int { return cmp.Compare(a.Key, b.Key) })
	if out.Freed > 0 {
		s.queues.forget()
	}
	return out, nil
}

// Purge implements [store.Store]. A run counts as one, whatever belongs to it.
// What a commit has locked is left for the next call. Errors: store.ErrUnavailable, store.ErrSchema, store.ErrClosed and the context's.
func (s *Store) Purge(ctx context.Context, p store.Purge) (int, error) {
	deleted := 0
	err := s.call(ctx, "purge", func(x *session) error {
		if p.Limit <= 0 {
			return nil
		}
		return x.query(sqlPurge, func(row []driver.Value) error {
			deleted = int(integer(row[0]))
			return nil
		}, s.at(), int64(p.EndedBefore), int64(p.Limit))
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}
