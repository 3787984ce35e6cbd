package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// chunk is how many runs a worker process is asked to start at once, and
	// chunksAhead how many times it is asked before it has told that it did:
	// its clients must never wait for the next order.
	chunk       = 100
	chunksAhead = 4

	// hearEvery is how often what worker processes tell is read. Who reads each
	// line at once takes the time from those that are measured.
	hearEvery = 5 * time.Millisecond
)

// fleet is worker processes on one place, and the runs that they are to start.
type fleet struct {
	assignment string
	rec        *record
	chunks     chan [2]int // runs from, to: not yet started
	unstarted  atomic.Int64
	off        chan struct{} // closed when the first may be started
	started    chan struct{} // closed when all are
	failed     chan error    // of a process that ended by itself

	mu      sync.Mutex
	workers []*worker // the oldest first
	all     sync.WaitGroup
}

func newFleet(a assignment, rec *record) (*fleet, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	n := len(rec.ended)
	f := &fleet{
		assignment: string(text), rec: rec, chunks: make(chan [2]int, (n+chunk-1)/chunk),
		off: make(chan struct{}), started: make(chan struct{}), failed: make(chan error, 1),
	}
	for i := 0; i < n; i += chunk {
		f.chunks <- [2]int{i, min(n, i+chunk)}
	}
	f.unstarted.Store(int64(len(f.chunks)))
	return f, nil
}

// worker is a process.
type worker struct {
	cmd    *osexec.Cmd
	in     io.WriteCloser
	ready  chan struct{}
	told   chan [2]int   // a chunk was started
	gone   chan struct{} // closed when the process has ended and was heard out
	killed atomic.Bool
}

// add starts a process, and returns once its handlers run.
func (f *fleet) add(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	w := &worker{
		cmd: osexec.Command(self), ready: make(chan struct{}),
		told: make(chan [2]int, chunksAhead), gone: make(chan struct{}),
	}
	w.cmd.Env = append(os.Environ(), workerEnv+"="+f.assignment)
	w.cmd.Stderr = os.Stderr
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := w.cmd.Start(); err != nil {
		return err
	}
	f.all.Go(func() { f.hear(w, out) })
	select {
	case <-w.ready:
	case <-w.gone:
		return errors.Join(errors.New("a worker process ended at its start"), f.failure())
	case <-ctx.Done():
		w.kill()
		return ctx.Err()
	}
	f.mu.Lock()
	f.workers = append(f.workers, w)
	f.mu.Unlock()
	f.all.Go(func() { f.feed(ctx, w) })
	return nil
}

// hear reads what a process tells, until it has ended.
func (f *fleet) hear(w *worker, out io.Reader) {
	defer close(w.gone)
	for buf, rest := make([]byte, 64<<10), ""; ; time.Sleep(hearEvery) {
		n, err := out.Read(buf)
		lines := strings.SplitAfter(rest+string(buf[:n]), "\n")
		for _, text := range lines[:len(lines)-1] {
			f.heard(w, text)
		}
		if rest = lines[len(lines)-1]; err != nil {
			break
		}
	}
	if err := w.cmd.Wait(); err != nil && !w.killed.Load() {
		f.fail(fmt.Errorf("a worker process ended: %w", err))
	}
}

func (f *fleet) heard(w *worker, text string) {
	var c [2]int
	var reason string
	switch {
	case enteredIn(text, &c):
		f.rec.enter(c[0], c[1])
	case text == readyLine:
		close(w.ready)
	case scanned(text, startedLine, &c[0], &c[1]):
		w.told <- c
	case scanned(text, failedLine, &reason):
		f.fail(errors.New(reason))
	}
}

func scanned(text, format string, into ...any) bool {
	n, err := fmt.Sscanf(text, format, into...)
	return err == nil && n == len(into)
}

func (f *fleet) fail(err error) {
	select {
	case f.failed <- err:
	default: // the first one tells
	}
}

func (f *fleet) failure() error {
	select {
	case err := <-f.failed:
		return err
	default:
		return nil
	}
}

// feed hands a process one chunk after the other. What a process that dies has
// not told to be started, another one starts: a run's id makes it one.
func (f *fleet) feed(ctx context.Context, w *worker) {
	select {
	case <-f.off:
	case <-ctx.Done():
		return
	case <-w.gone:
		return
	}
	var asked [][2]int
	for {
		more := f.chunks
		if len(asked) == chunksAhead {
			more = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-f.started:
			return
		case <-w.gone:
			for _, c := range asked {
				f.chunks <- c
			}
			return
		case c := <-more:
			asked = append(asked, c)
			_, _ = fmt.Fprintf(w.in, startLine, f.rec.name, c[0], c[1]) // fails when the process is gone
		case c := <-w.told:
			asked = slices.DeleteFunc(asked, func(a [2]int) bool { return a == c })
			if f.unstarted.Add(-1) == 0 {
				close(f.started)
			}
		}
	}
}

// kill kills the process, and returns once it is gone.
func (w *worker) kill() {
	w.killed.Store(true)
	_ = w.cmd.Process.Kill() // fails only when it has ended
	<-w.gone
}

// killOldest kills the process that was started first.
func (f *fleet) killOldest() {
	f.mu.Lock()
	w := f.workers[0]
	f.workers = f.workers[1:]
	f.mu.Unlock()
	w.kill()
}

// wait blocks until all runs were started and each of their steps entered, or
// a process has failed.
func (f *fleet) wait(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel(nil)
	watch.Go(func() {
		select {
		case err := <-f.failed:
			cancel(err)
		case <-ctx.Done():
		}
	})
	if err := f.rec.wait(ctx); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// stop ends the processes by closing their input, and waits for them.
func (f *fleet) stop() error {
	f.mu.Lock()
	for _, w := range f.workers {
		_ = w.in.Close()
	}
	f.workers = nil
	f.mu.Unlock()
	f.all.Wait()
	return f.failure()
}
