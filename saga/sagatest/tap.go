package sagatest

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"

	"github.com/millrace-go/millrace/store"
)

// pulse is raised whenever a store has changed, or was called.
type pulse struct {
	mu sync.Mutex
	ch chan struct{}
}

func newPulse() *pulse { return &pulse{ch: make(chan struct{})} }

func (p *pulse) raise() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.ch)
	p.ch = make(chan struct{})
}

// next returns a channel that is closed at the next raise.
func (p *pulse) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ch
}

// gauge tells how a store was called, and can cut it off.
type gauge struct {
	pulse   *pulse
	cut     atomic.Bool
	reaps   atomic.Int64
	beats   atomic.Int64
	grabs   atomic.Int64
	worker  atomic.Int64                  // key of the worker that beat last
	workers atomic.Int64                  // that it has been
	hold    atomic.Pointer[chan struct{}] // beats wait until it is closed
}

// key is that of the node's worker.
func (g *gauge) key() int64 { return g.worker.Load() }

// tap is a store with a gauge.
type tap struct {
	store.Store
	*gauge
}

// tapSQL is a tap on a store with SQL.
type tapSQL struct {
	*tap
	sql store.SQL
}

func (t *tapSQL) DB() *sql.DB { return t.sql.DB() }

func (t *tapSQL) CommitTx(ctx context.Context, tx *sql.Tx, keys store.Keys, decide store.Decide) error {
	if t.cut.Load() {
		return store.ErrClosed
	}
	return t.sql.CommitTx(ctx, tx, keys, decide)
}

func (t *tap) Commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	if t.cut.Load() {
		return store.ErrClosed
	}
	defer t.pulse.raise()
	return t.Store.Commit(ctx, keys, decide)
}

func (t *tap) Grab(ctx context.Context, g store.Grab) (store.Grabbed, error) {
	if t.cut.Load() {
		return store.Grabbed{}, store.ErrClosed
	}
	defer t.pulse.raise()
	defer t.grabs.Add(1)
	return t.Store.Grab(ctx, g)
}

func (t *tap) Beat(ctx context.Context, b store.Beat) (store.Beaten, error) {
	if t.cut.Load() {
		return store.Beaten{}, store.ErrClosed
	}
	if ch := t.hold.Load(); ch != nil {
		select {
		case <-*ch:
		case <-ctx.Done():
			return store.Beaten{}, ctx.Err()
		}
	}
	defer t.pulse.raise()
	got, err := t.Store.Beat(ctx, b)
	if err == nil {
		if t.worker.Swap(got.Key) != got.Key {
			t.workers.Add(1)
		}
	}
	t.beats.Add(1)
	return got, err
}

func (t *tap) Reap(ctx context.Context, r store.Reap) (store.Reaped, error) {
	if t.cut.Load() {
		return store.Reaped{}, store.ErrClosed
	}
	defer t.pulse.raise()
	defer t.reaps.Add(1)
	return t.Store.Reap(ctx, r)
}
