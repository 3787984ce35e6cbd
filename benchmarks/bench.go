package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace-go/millrace/router"
)

// concurrency is how many handlers run at once: twice the default, since ours
// have nothing to do but wait for their commits.
const concurrency = 512

// bench is what a workload is measured on.
type bench struct {
	dir       string // for new files
	pair      pair   // as it was asked for
	store     string // URL, with its server
	transport string // URL, with its server; native: through the store
	n         int
	clients   int
	limitFor  time.Duration // how long a limit is measured on each number of connections
	kill      killing
	handover  string // router.Config.Handover
}

// bench is one on a pair.
func (o options) bench(dir string, p pair, n int) (*bench, error) {
	b := &bench{dir: dir, pair: p, n: n, clients: o.clients, limitFor: o.limitFor, kill: o.kill, handover: o.handover}
	var err error
	if b.store, err = o.servers.resolve(p.store); err != nil {
		return nil, err
	}
	b.transport, err = o.servers.resolve(p.transport)
	return b, err
}

// file names a new file, in a folder of its own.
func (b *bench) file() (string, error) {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "bench.db"), nil
}

// remove deletes a folder of the benchmark's own; what can't be deleted stays
// in the folder for temporary files.
func remove(dir string) { _ = os.RemoveAll(dir) }

// config is that of a Router on a place.
func (p *place) config() router.Config {
	return router.Config{
		Store: p.store, Transport: p.transport, Handover: p.handover, Concurrency: concurrency,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// rig is a Router on a place of its own.
type rig struct {
	*router.Router
	*place
	bench  *bench
	cancel context.CancelFunc
	done   chan error
}

// open makes a place and a Router on it, without running it.
func (b *bench) open(ctx context.Context) (*rig, error) {
	p, err := b.place(ctx)
	if err != nil {
		return nil, err
	}
	r, err := router.New(ctx, p.config())
	if err != nil {
		p.dropOrTell()
		return nil, err
	}
	return &rig{Router: r, place: p, bench: b}, nil
}

// start runs the Router and returns once its handlers run.
func (r *rig) start(ctx context.Context) error {
	ctx, r.cancel = context.WithCancel(ctx)
	r.done = make(chan error, 1)
	go func() { r.done <- r.Run(ctx) }()
	select {
	case <-r.Running():
		return nil
	case err := <-r.done:
		r.done <- nil
		return err
	}
}

// stop drains the Router; nothing happens if it does not run.
func (r *rig) stop() error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.cancel = nil
	return <-r.done
}

// close stops the Router, closes its store, and drops the place. Deferred, it
// may be called after stop.
func (r *rig) close() {
	_ = r.stop()
	_ = r.Close()
	r.dropOrTell()
}
