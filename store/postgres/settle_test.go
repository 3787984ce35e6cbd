package postgres

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/store"
)

// What a cutter does with the next COMMIT, or the next commit that is a single
// statement.
const (
	pass       = iota
	loseAnswer // hands it on, and cuts the client off instead of answering
	loseAsked  // swallows it; the server keeps its end open
)

// cutter stands between a store and its server.
type cutter struct {
	listener net.Listener
	server   string
	next     atomic.Int32
	begins   atomic.Int32 // transactions that were begun
	single   []byte       // by what a commit that is a single statement is known
	down     atomic.Bool  // new connections are refused

	mu    sync.Mutex
	conns []net.Conn
	all   sync.WaitGroup
}

// newCutter returns it with the URL that leads through it.
func newCutter(t *testing.T, server string) (c *cutter, through string) {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	c = &cutter{server: u.Host}
	c.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c.all.Go(c.accept)
	t.Cleanup(func() {
		_ = c.listener.Close()
		c.mu.Lock()
		for _, conn := range c.conns {
			_ = conn.Close()
		}
		c.mu.Unlock()
		c.all.Wait()
	})
	u.Host = c.listener.Addr().String()
	return c, u.String()
}

func (c *cutter) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", c.server)
		if err != nil || c.down.Load() {
			_ = client.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, client, server)
		c.mu.Unlock()
		lost := make(chan struct{})
		c.all.Go(func() { c.forward(client, server, lost) })
		c.all.Go(func() {
			_, _ = io.Copy(answers{client, lost}, server)
			_ = client.Close()
		})
	}
}

// answers are what the server says, until the next one is to be lost.
type answers struct {
	net.Conn
	lost chan struct{}
}

func (a answers) Write(b []byte) (int, error) {
	select {
	case <-a.lost:
		return 0, io.ErrClosedPipe
	default:
		return a.Conn.Write(b)
	}
}

func (c *cutter) forward(client, server net.Conn, lost chan struct{}) {
	buf := make([]byte, 1<<16)
	for {
		n, err := client.Read(buf)
		if err != nil {
			_ = server.Close()
			return
		}
		if bytes.Contains(buf[:n], []byte("BEGIN ")) {
			c.begins.Add(1)
		}
		if c.commits(buf[:n]) && c.next.Load() != pass {
			if c.next.Swap(pass) == loseAnswer {
				close(lost) // the client is cut off when the server has answered
				_, _ = server.Write(buf[:n])
				return
			}
			_ = client.Close()
			return // the server's end stays open
		}
		if _, err := server.Write(buf[:n]); err != nil {
			_ = client.Close()
			return
		}
	}
}

func (c *cutter) commits(sent []byte) bool {
	return bytes.Contains(sent, []byte("COMMIT\x00")) || c.single != nil && bytes.Contains(sent, c.single)
}

// count counts up in a row, once.
func count(t *testing.T, s *Store, k store.RowKey) error {
	return s.Commit(t.Context(), store.Keys{Rows: []store.RowKey{k}}, func(snap *store.Snapshot) *store.Changes {
		return &store.Changes{PutRows: []*store.Row{increased(snap.Rows[k], k)}}
	})
}

// F3: what became of a commit whose answer was lost is found out, not guessed.
func TestLostAnswerIsSettled(t *testing.T) {
	at := newSchema(t)
	c, through := newCutter(t, at)
	s, direct := open(t, through, store.Options{}), open(t, at, store.Options{})
	k := key("n")
	for i := range 3 {
		c.next.Store(loseAnswer)
		require.NoError(t, count(t, s, k))
		require.Equal(t, int32(pass), c.next.Load(), "it was cut off")
		require.Equal(t, i+1, counted(rowsOf(t, direct, k)[k]))
	}
	for range 3 {
		c.next.Store(loseAsked)
		err := count(t, s, k)
		require.ErrorIs(t, err, store.ErrUnavailable)
		require.NotErrorIs(t, err, store.ErrUnknown)
		require.Equal(t, 3, counted(rowsOf(t, direct, k)[k]), "its locks are free")
	}
	require.NoError(t, count(t, s, k))
	require.Equal(t, 4, counted(rowsOf(t, direct, k)[k]))
}

// F3: when nobody can be asked, the commit is unknown; who repeats it waits for
// the one under way.
func TestUnknown(t *testing.T) {
	at := with(t, newSchema(t), "idle_timeout", "1s")
	c, through := newCutter(t, at)
	s, direct := open(t, through, store.Options{}), open(t, at, store.Options{})
	k := key("n")
	require.NoError(t, count(t, s, k))
	for want, mode := range []int32{loseAsked, loseAnswer} {
		rowsOf(t, s, k) // on a connection that is there when all new ones are refused
		c.down.Store(true)
		c.next.Store(mode)
		require.ErrorIs(t, count(t, s, k), store.ErrUnknown)
		require.Equal(t, 1+want, counted(rowsOf(t, direct, k)[k]))
		c.down.Store(false)
	}
	require.NoError(t, count(t, s, k))
	require.Equal(t, 3, counted(rowsOf(t, direct, k)[k]))
}

// A server that is killed is an outage: calls fail as such, and work once it is
// back; what was committed is there.
func TestServerRestarts(t *testing.T) {
	server := servers.StartPostgres(t)
	s := open(t, server.URL(), store.Options{})
	k := key("n")
	require.NoError(t, count(t, s, k))
	server.Kill()
	begun := time.Now()
	err := count(t, s, k)
	require.ErrorIs(t, err, store.ErrUnavailable)
	_, err = s.Find(t.Context(), store.Query{Workers: &store.WorkerQuery{}})
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.Less(t, time.Since(begun), 10*time.Second)
	server.Start()
	require.NoError(t, count(t, s, k))
	require.Equal(t, 2, counted(rowsOf(t, s, k)[k]))
}
