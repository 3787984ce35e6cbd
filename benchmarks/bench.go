package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace-go/millrace/router"
)

// concurrency is how many handlers run at once.
const concurrency = 256

// bench is what a workload is measured on.
type bench struct {
	dir       string // for new files
	store     string // URL as it was asked for
	transport string
	n         int
	clients   int
	limitFor  time.Duration // how long a limit is measured on each number of connections
}

// place returns the URL of the store, with a new file for an sqlite: without a
// path.
func (b *bench) place() (string, error) {
	u, err := url.Parse(b.store)
	if err != nil {
		return "", fmt.Errorf("store URL: %w", err)
	}
	if u.Scheme == "sqlite" && u.Opaque == "" && u.Host == "" && u.Path == "" {
		path, err := b.file()
		if err != nil {
			return "", err
		}
		u.Path = filepath.ToSlash(path)
	}
	return u.String(), nil
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

// rig is a Router on a store.
type rig struct {
	*router.Router
	url    string
	bench  *bench
	name   string // of the service; no other measurement has it
	cancel context.CancelFunc
	done   chan error
}

// open opens the store and a Router on it, without running it.
func (b *bench) open(ctx context.Context) (*rig, error) {
	place, err := b.place()
	if err != nil {
		return nil, err
	}
	r, err := router.New(ctx, router.Config{
		Store: place, Transport: b.transport, Concurrency: concurrency,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return nil, err
	}
	return &rig{Router: r, url: place, bench: b, name: "bench-" + token()}, nil
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

// close stops the Router and closes its store. Deferred, it may be called
// after stop.
func (r *rig) close() {
	_ = r.stop()
	_ = r.Close()
	if path := r.path(); path != "" && strings.HasPrefix(path, r.bench.dir) {
		remove(filepath.Dir(path))
	}
}

// path returns the file of the store, if it is one.
func (r *rig) path() string {
	u, err := url.Parse(r.url)
	if err != nil || u.Scheme != "sqlite" {
		return ""
	}
	return filepath.FromSlash(u.Host + u.Path + u.Opaque)
}
