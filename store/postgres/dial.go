package postgres

import (
	"bufio"
	"context"
	"net"
	"time"
)

// grace is how much longer than the server's own limit an answer is waited for.
const grace = 5 * time.Second

// dialer opens the store's connections: a peer that is gone is noticed, and no
// answer is waited for without end.
type dialer struct {
	patience time.Duration // for an answer; 0: without end
}

func (d dialer) net() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         userTimeout,
	}
}

// DialContext implements pq.DialerContext.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.net().DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &patient{Conn: c, in: bufio.NewReaderSize(c, 1<<16), patience: d.patience}, nil
}

// Dial implements pq.Dialer.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout implements pq.Dialer.
func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// patient is a connection on which each read and write may take so long. It
// reads more at once than lib/pq does.
type patient struct {
	net.Conn
	in       *bufio.Reader
	patience time.Duration
	limited  bool // lib/pq has set a deadline, for connecting
	failed   bool
}

// Close implements net.Conn. What a connection that failed has not sent yet it
// never sends: it may be repeated elsewhere.
func (c *patient) Close() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok && c.failed {
		_ = tcp.SetLinger(0) // it may be closed
	}
	return c.Conn.Close()
}

// SetDeadline implements net.Conn.
func (c *patient) SetDeadline(t time.Time) error {
	c.limited = !t.IsZero()
	return c.Conn.SetDeadline(t)
}

func (c *patient) Read(b []byte) (int, error) {
	if c.in.Buffered() == 0 && c.patience > 0 && !c.limited {
		if err := c.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
			return 0, err
		}
	}
	n, err := c.in.Read(b)
	c.failed = c.failed || err != nil
	return n, err
}

func (c *patient) Write(b []byte) (int, error) {
	if c.patience > 0 && !c.limited {
		if err := c.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Write(b)
	c.failed = c.failed || err != nil
	return n, err
}
