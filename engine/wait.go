package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace-go/millrace/store"
)

// waiters are those who wait for the end of a run.
type waiters struct {
	mu   sync.Mutex
	runs map[int64][]chan struct{}
}

func (w *waiters) tell(ended []*store.Run) {
	if len(ended) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.runs) == 0 {
		return
	}
	for _, r := range ended {
		for _, ch := range w.runs[r.Key] {
			close(ch)
		}
		delete(w.runs, r.Key)
	}
}

func (w *waiters) add(run int64) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runs == nil {
		w.runs = map[int64][]chan struct{}{}
	}
	ch := make(chan struct{})
	w.runs[run] = append(w.runs[run], ch)
	return ch
}

func (w *waiters) remove(run int64, ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.runs[run]
	for i, c := range list {
		if c == ch {
			w.runs[run] = append(list[:i:i], list[i+1:]...)
		}
	}
	if len(w.runs[run]) == 0 {
		delete(w.runs, run)
	}
}

// Ended blocks until a run is closed, and returns it as it then is. A run that
// ends in this process is told at once; one that ends in another is seen
// within Config.Poll. While the store is out of reach it asks again, as long
// as ctx lasts. ErrNotFound when there is no such run.
func (e *Engine) Ended(ctx context.Context, key int64) (*store.Run, error) {
	for try := 0; ; {
		ch := e.waiters.add(key)
		r, err := e.Run1(ctx, store.RunQuery{Key: key})
		switch {
		case err == nil && r.Status.Closed():
			e.waiters.remove(key, ch)
			return r, nil
		case err == nil:
			try = 0
			err = e.awaitEnd(ctx, ch)
		case passing(err) && !errors.Is(err, store.ErrNotFound) && e.health.pause(ctx, try):
			try, err = try+1, nil
		}
		e.waiters.remove(key, ch)
		if err != nil {
			return nil, err
		}
	}
}

// awaitEnd blocks until ch tells, or it is time to look.
func (e *Engine) awaitEnd(ctx context.Context, ch <-chan struct{}) error {
	timer := e.clock.NewTimer(e.cfg.Poll)
	defer timer.Stop()
	select {
	case <-ch:
	case <-timer.Chan():
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Run1 returns the one run that q names. ErrNotFound when there is none.
func (e *Engine) Run1(ctx context.Context, q store.RunQuery) (*store.Run, error) {
	found, err := e.store.Find(ctx, store.Query{Runs: &q, Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("find run: %w", err)
	}
	if len(found.Runs) == 0 {
		return nil, fmt.Errorf("run %s: %w", q.ID, store.ErrNotFound)
	}
	return found.Runs[0], nil
}

// pause waits longer from try to try, up to a second, while the store is out
// of reach. It reports false when ctx ends first.
func (h *health) pause(ctx context.Context, try int) bool {
	timer := time.NewTimer(min(10*time.Millisecond<<min(try, 7), time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
