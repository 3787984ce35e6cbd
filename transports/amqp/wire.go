package amqp

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// gathered is how many bytes may wait for being written.
const gathered = 256 << 10

// wire gathers what is written while a write is under way: the client library
// flushes after every message, and many small packets cost the server as much
// as the messages in them. Nor can a write hang: the peer must take some of it
// within patience, unless it has said that it takes nothing for a while.
type wire struct {
	net.Conn
	patience time.Duration
	blocked  atomic.Bool
	done     chan struct{} // closed when the writer has ended

	mu      sync.Mutex
	waiting []byte
	spare   []byte
	changed sync.Cond
	closed  bool
	err     error
}

// newWire starts a writer, which Close ends.
func newWire(c net.Conn, patience time.Duration) *wire {
	w := &wire{Conn: c, patience: patience, done: make(chan struct{})}
	w.changed.L = &w.mu
	go w.flush()
	return w
}

// Write implements net.Conn. An error may be that of an earlier write.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) > gathered && w.err == nil && !w.closed {
		w.changed.Wait()
	}
	switch {
	case w.err != nil:
		return 0, w.err
	case w.closed:
		return 0, net.ErrClosed
	}
	w.waiting = append(w.waiting, p...)
	w.changed.Broadcast()
	return len(p), nil
}

// flush writes what waits until the wire is closed or fails.
func (w *wire) flush() {
	defer close(w.done)
	for {
		p := w.take()
		if p == nil {
			return
		}
		if err := w.write(p); err != nil {
			w.fail(err)
			return
		}
	}
}

// take waits for something to write; nil when the wire is closed.
func (w *wire) take() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) == 0 && !w.closed {
		w.changed.Wait()
	}
	if len(w.waiting) == 0 {
		return nil
	}
	p := w.waiting
	w.waiting, w.spare = w.spare[:0], p
	w.changed.Broadcast()
	return p
}

func (w *wire) write(p []byte) error {
	for {
		_ = w.SetWriteDeadline(time.Now().Add(w.patience)) // a closed one fails below
		n, err := w.Conn.Write(p)
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 && !w.blocked.Load() {
			return err
		}
		p = p[n:]
	}
}

// fail has the client library notice: its reader ends.
func (w *wire) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	w.changed.Broadcast()
	_ = w.Conn.Close()
}

// Close implements net.Conn. What waits is written first, if the peer takes it
// at once.
func (w *wire) Close() error {
	w.mu.Lock()
	w.closed = true
	w.changed.Broadcast()
	w.mu.Unlock()
	_ = w.SetWriteDeadline(time.Now().Add(time.Second))
	<-w.done
	return w.Conn.Close()
}
