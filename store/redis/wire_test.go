package redis_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// wire is what connections to a server go through, and where they break.
type wire struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	fault fault
	word  []byte      // in a request that the fault befalls, once
	late  chan []byte // requests that were held back
	conns map[net.Conn]bool
	all   sync.WaitGroup
}

type fault int

const (
	healthy   fault = iota
	noAnswer        // the request arrives, and the connection breaks
	noRequest       // the connection breaks before
	dead            // all connections break, and new ones too
)

func newWire(t testing.TB, server string) *wire {
	u, err := url.Parse(server)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{listener: l, server: u.Host, late: make(chan []byte, 10), conns: map[net.Conn]bool{}}
	w.all.Go(w.accept)
	t.Cleanup(func() {
		_ = l.Close()
		w.breakWith(dead, "")
		w.all.Wait()
	})
	return w
}

// through returns the place as it is seen through the wire.
func (w *wire) through(p place) place {
	u := *p.url
	u.Host = w.listener.Addr().String()
	p.url = &u
	return p
}

// breakWith makes the next request with a word in it fail, or all.
func (w *wire) breakWith(f fault, word string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault, w.word = f, []byte(word)
	if f != dead {
		return
	}
	for c := range w.conns {
		_ = c.Close()
	}
}

// befalls tells which fault befalls a request.
func (w *wire) befalls(request []byte) fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault == healthy || !bytes.Contains(request, w.word) {
		return healthy
	}
	f := w.fault
	if f != dead {
		w.fault = healthy
	}
	return f
}

func (w *wire) keep(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[c] = true
	return w.fault != dead
}

func (w *wire) accept() {
	for {
		c, err := w.listener.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", w.server)
		if err != nil || !w.keep(c) || !w.keep(s) {
			_ = c.Close()
			continue
		}
		broken := make(chan struct{})
		w.all.Go(func() { w.carry(c, s, broken) })
		w.all.Go(func() {
			_, _ = io.Copy(answers{c, broken}, s)
			_ = c.Close()
		})
	}
}

// answers are what the server sends, until the connection is broken.
type answers struct {
	net.Conn
	broken chan struct{}
}

func (a answers) Write(b []byte) (int, error) {
	select {
	case <-a.broken:
		return 0, io.ErrClosedPipe
	default:
		return a.Conn.Write(b)
	}
}

// carry carries requests to the server. Requests of these tests are read in one
// piece.
func (w *wire) carry(c, s net.Conn, broken chan struct{}) {
	defer s.Close()
	b := make([]byte, 1<<20)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		switch w.befalls(b[:n]) {
		case noRequest:
			w.late <- bytes.Clone(b[:n])
			close(broken)
			_ = c.Close()
			return
		case noAnswer:
			close(broken)
			_, _ = s.Write(b[:n])
			_, _ = s.Read(b) // the server has done it
			_ = c.Close()
			return
		default:
			_, _ = s.Write(b[:n])
		}
	}
}
