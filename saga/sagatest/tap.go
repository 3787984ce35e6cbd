package sagatest

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/lib/pq"

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
	name    atomic.Pointer[string]        // of the store
	hold    atomic.Pointer[chan struct{}] // beats wait until it is closed
}

// key is that of the node's worker.
func (g *gauge) key() int64 { return g.worker.Load() }

// tap is a store with a gauge. It has all that a store may have beyond
// [store.Store], but SQL: what the store below has not, does nothing, which
// nobody can tell from a store that lacks it.
type tap struct {
	store.Store             // fails by plan, if it is to
	driver      store.Store // the same, or what is below
	*gauge
}

var (
	_ store.Pipelined = (*tap)(nil)
	_ store.Waker     = (*tap)(nil)
	_ store.Publisher = (*tap)(nil)
	_ store.SQL       = (*tapSQL)(nil)
)

// tapped puts a gauge on a store. opened is driver, or one around it.
func tapped(opened, driver store.Store, g *gauge) store.Store {
	t := &tap{opened, driver, g}
	if s, ok := opened.(store.SQL); ok {
		return &tapSQL{t, s}
	}
	return t
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

// Listen is what the transport of watermill-sql asks a store for.
func (t *tapSQL) Listen(channel string, notes chan *pq.Notification) (*pq.ListenerConn, error) {
	l, ok := t.driver.(interface {
		Listen(channel string, notes chan *pq.Notification) (*pq.ListenerConn, error)
	})
	if !ok || t.cut.Load() {
		return nil, errors.ErrUnsupported
	}
	return l.Listen(channel, notes)
}

func (t *tap) Commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	if t.cut.Load() {
		return store.ErrClosed
	}
	defer t.pulse.raise()
	return t.Store.Commit(ctx, keys, decide)
}

// CommitAhead implements [store.Pipelined].
func (t *tap) CommitAhead(ctx context.Context, keys store.Keys, decide store.Decide) (settle func() error, err error) {
	p, ok := t.Store.(store.Pipelined)
	if !ok {
		return nil, t.Commit(ctx, keys, decide)
	}
	if t.cut.Load() {
		return nil, store.ErrClosed
	}
	defer t.pulse.raise()
	durable, err := p.CommitAhead(ctx, keys, decide)
	if durable == nil {
		return nil, err
	}
	return func() error {
		defer t.pulse.raise()
		return durable()
	}, err
}

// Wake implements [store.Waker].
func (t *tap) Wake(ctx context.Context) error {
	w, ok := t.driver.(store.Waker)
	if !ok || t.cut.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return w.Wake(ctx)
}

// PublishBy implements [store.Publisher].
func (t *tap) PublishBy(translate func([]store.Publication) ([]store.Statement, error)) {
	if p, ok := t.driver.(store.Publisher); ok {
		p.PublishBy(translate)
	}
}

// Server is what the transport of Redis Streams asks a store for.
func (t *tap) Server(ctx context.Context) (runID string, db int, err error) {
	s, ok := t.driver.(interface {
		Server(ctx context.Context) (runID string, db int, err error)
	})
	if !ok {
		return "", 0, nil
	}
	return s.Server(ctx)
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
		t.name.Store(&got.Store)
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
