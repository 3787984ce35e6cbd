package redis

import (
	"cmp"
	"context"
	"slices"

	"github.com/millrace-go/millrace/store"
)

// Beat implements [store.Store]. A worker whose lease has ended is kept alive
// by it as long as nobody closed the worker. It works while the server is out
// of memory. Errors: store.ErrLeaseLost, store.ErrUnavailable, store.ErrSchema
// if the store was emptied or replaced, store.ErrClosed and the context's.
func (s *Store) Beat(ctx context.Context, b store.Beat) (store.Beaten, error) {
	leave, err := s.enter(ctx, "beat")
	if err != nil {
		return store.Beaten{}, err
	}
	defer leave()
	w := b.Worker
	body, err := store.Marshal(workerBody{Host: w.Host, Boot: w.Boot, PidNS: w.PidNS, PID: w.PID, Born: w.Born})
	if err != nil {
		return store.Beaten{}, explain("beat", err)
	}
	a, err := s.list(ctx, beatScript, s.clock(), numOrNone(w.Key), b.Lease.Microseconds(), body)
	if err != nil {
		return store.Beaten{}, explain("beat", err)
	}
	out := store.Beaten{Key: w.Key, Now: store.Instant(a.number()), Until: store.Instant(a.number()), Store: s.name}
	if w.Key == 0 {
		out.Key = a.number()
	}
	return out, nil
}

// Reap implements [store.Store], in one script: who has beaten before is not
// closed, who beats after has lost the lease. It works while the server is out
// of memory. Errors: as those of [Store.Beat], but for store.ErrLeaseLost.
func (s *Store) Reap(ctx context.Context, r store.Reap) (store.Reaped, error) {
	leave, err := s.enter(ctx, "reap")
	if err != nil {
		return store.Reaped{}, err
	}
	defer leave()
	args := []any{s.clock(), bit(r.Expired), max(r.Limit, 0), store.Num(r.After)}
	for _, w := range r.Workers {
		args = append(args, store.Num(w))
	}
	a, err := s.list(ctx, reapScript, args...)
	if err != nil {
		return store.Reaped{}, explain("reap", err)
	}
	out := store.Reaped{Now: store.Instant(a.number()), Freed: int(a.number())}
	next, _ := a.text()
	out.Next = number(next)
	out.Closed, err = workersOf(&a)
	return out, explain("reap", err)
}

// workersOf reads the rest of the answers: workers, in the order of their keys.
func workersOf(a *answers) ([]store.Worker, error) {
	var all []store.Worker
	for a.more() {
		key, _ := a.text()
		v, _ := a.text()
		w, err := workerOf(number(key), v)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b store.Worker) int { return cmp.Compare(a.Key, b.Key) })
	return all, nil
}
