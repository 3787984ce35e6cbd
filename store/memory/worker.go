package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/millrace-go/millrace/store"
)

// Beat implements [store.Store]. A worker whose lease has ended is kept alive
// by it as long as nobody closed the worker. Errors: [store.ErrLeaseLost],
// [store.ErrClosed] and the context's.
func (s *Store) Beat(ctx context.Context, b store.Beat) (store.Beaten, error) {
	if err := s.enter(ctx, "beat"); err != nil {
		return store.Beaten{}, err
	}
	defer s.db.mu.Unlock()
	now := s.instant()
	w, known := s.db.workers[b.Worker.Key]
	switch {
	case b.Worker.Key == 0:
		s.db.lastWorker++
		w = b.Worker
		w.Key, w.Started = s.db.lastWorker, now
	case !known:
		return store.Beaten{}, fmt.Errorf("memory: beat: worker %d: %w", b.Worker.Key, store.ErrLeaseLost)
	}
	w.Until = now.Add(b.Lease)
	s.db.workers[w.Key] = w
	return store.Beaten{Key: w.Key, Now: now, Until: w.Until, Store: s.db.id}, nil
}

// Reap implements [store.Store]. Errors: [store.ErrClosed] and the context's.
func (s *Store) Reap(ctx context.Context, r store.Reap) (store.Reaped, error) {
	if err := s.enter(ctx, "reap"); err != nil {
		return store.Reaped{}, err
	}
	defer s.db.mu.Unlock()
	out := store.Reaped{Now: s.instant()}
	out.Closed = s.db.closeWorkers(out.Now, r)
	out.Freed, out.Next = s.db.freeUnheld(r.After, r.Limit)
	return out, nil
}

func (db *database) closeWorkers(now store.Instant, r store.Reap) []store.Worker {
	var closed []store.Worker
	for key, w := range db.workers {
		if r.Expired && w.Until < now || slices.Contains(r.Workers, key) {
			delete(db.workers, key)
			closed = append(closed, w)
		}
	}
	slices.SortFunc(closed, byWorkerKey)
	return closed
}

func byWorkerKey(a, b store.Worker) int { return cmp.Compare(a.Key, b.Key) }

// freeUnheld frees what unknown workers hold among the next limit messages
// behind seq. It returns the seq to go on behind, 0 at the end.
func (db *database) freeUnheld(after int64, limit int) (freed int, next int64) {
	next = after
	for seq, m := range db.messages.after(after) {
		if limit <= 0 {
			return freed, next
		}
		limit--
		next = seq
		if m.Held() && !db.alive(m.Worker) {
			db.release(m)
			freed++
		}
	}
	return freed, 0
}
