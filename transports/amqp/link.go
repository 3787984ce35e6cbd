package amqp

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// Pauses between trials to connect.
const (
	firstRedial = 50 * time.Millisecond
	mostRedial  = 5 * time.Second
)

// closing is how long the server may take to say goodbye.
const closing = 2 * time.Second

// link is a connection that is made again when it breaks.
type link struct {
	dialer   dialer
	news     *news
	patience time.Duration

	mu      sync.Mutex
	conn    *amqp091.Connection // nil while there is none
	wire    *wire
	blocks  <-chan amqp091.Blocking
	lost    <-chan *amqp091.Error
	blocked bool
	closed  bool
	err     error         // why there is none
	changed chan struct{} // closed when something above changes

	calls sync.WaitGroup
}

func newLink(d dialer, n *news, patience time.Duration) *link {
	return &link{dialer: d, news: n, patience: patience, changed: make(chan struct{})}
}

// change calls f under the lock, and tells who waits.
func (l *link) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

// connect makes the connection.
func (l *link) connect(ctx context.Context) error {
	conn, wire, err := l.dialer.dial(ctx)
	if err != nil {
		l.change(func() { l.err = err })
		return err
	}
	blocks := conn.NotifyBlocked(make(chan amqp091.Blocking, 1))
	lost := conn.NotifyClose(make(chan *amqp091.Error, 1))
	l.change(func() { l.conn, l.wire, l.blocks, l.lost, l.blocked = conn, wire, blocks, lost, false })
	return nil
}

// run keeps the link connected until ctx ends, and then closes it, by which
// all calls end.
func (l *link) run(ctx context.Context) {
	defer l.calls.Wait()
	defer l.disconnect()
	for {
		err := l.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		l.change(func() { l.conn, l.blocked, l.err = nil, false, err })
		l.news.lost(err)
		if l.reconnect(ctx) != nil {
			return
		}
		l.news.back()
	}
}

// watch returns when the connection is lost, or ctx ends.
func (l *link) watch(ctx context.Context) error {
	blocks := l.blocks
	for {
		select {
		case <-ctx.Done():
			return nil
		case b, open := <-blocks:
			if !open {
				blocks = nil // the loss is told below
				continue
			}
			l.wire.blocked.Store(b.Active)
			l.change(func() { l.blocked = b.Active })
			l.news.blocked(b)
		case err, open := <-l.lost:
			if !open {
				return fmt.Errorf("connection closed")
			}
			return oneLine(err)
		}
	}
}

// reconnect tries, after pauses that grow, until it succeeds or ctx ends. In
// the first pause the other link notices, too, that the server is lost.
func (l *link) reconnect(ctx context.Context) error {
	for n := 0; ; n++ {
		wait := pause(n, firstRedial, mostRedial)
		if !sleep(ctx, wait/2+rand.N(wait)) {
			return ctx.Err()
		}
		if l.connect(ctx) == nil {
			return nil
		}
	}
}

// disconnect closes the link for good.
func (l *link) disconnect() {
	var conn *amqp091.Connection
	l.change(func() { conn, l.conn, l.closed = l.conn, nil, true })
	if conn == nil {
		return
	}
	// The client library's own deadline is moved on by each heartbeat.
	cut := time.AfterFunc(closing, func() { _ = l.wire.Close() })
	_ = conn.Close()
	cut.Stop()
	_ = l.wire.Close()
}

// up returns an error while there is no connection.
func (l *link) up() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return ErrClosed
	case l.conn == nil || l.conn.IsClosed():
		return disconnected(l.err)
	}
	return nil
}

// connection waits for the connection, as long as ctx and patience allow.
func (l *link) connection(ctx context.Context) (*amqp091.Connection, error) {
	var timeout <-chan time.Time
	for {
		l.mu.Lock()
		conn, changed, closed, why := l.conn, l.changed, l.closed, l.err
		l.mu.Unlock()
		switch {
		case closed:
			return nil, ErrClosed
		case conn != nil && !conn.IsClosed():
			return conn, nil
		}
		if timeout == nil {
			timer := time.NewTimer(l.patience)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timeout:
			return nil, disconnected(why)
		}
	}
}

func disconnected(why error) error {
	if why == nil { // lost just now
		return ErrDisconnected
	}
	return fmt.Errorf("%w: %w", ErrDisconnected, why)
}

// channel opens a channel.
func (l *link) channel(ctx context.Context) (*amqp091.Channel, error) {
	conn, err := l.connection(ctx)
	if err != nil {
		return nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", oneLine(err))
	}
	return ch, nil
}

// unblocked waits until the server takes messages.
func (l *link) unblocked(ctx context.Context) error {
	for {
		l.mu.Lock()
		blocked, changed, closed := l.blocked, l.changed, l.closed
		l.mu.Unlock()
		switch {
		case closed:
			return ErrClosed
		case !blocked:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// call runs f, and waits for it as long as ctx and the limit allow, 0 for
// none. The client library can't be interrupted, and a queue that has lost its
// leader leaves requests unanswered: f may go on as long as the connection.
func (l *link) call(ctx context.Context, limit time.Duration, f func() error) error {
	done := make(chan error, 1)
	if !l.start(func() { done <- f() }) {
		return ErrClosed
	}
	var over <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-over:
		return fmt.Errorf("no answer within %s", limit)
	}
}

// start runs f in a goroutine that run waits for.
func (l *link) start(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.calls.Go(f)
	return true
}

// isBlocked reports whether the server has said that it takes no messages.
func (l *link) isBlocked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.blocked
}

// news says once that the server is lost, and once that it is back, however
// many links there are.
type news struct {
	log *slog.Logger

	mu    sync.Mutex
	down  int
	since time.Time
	stuck bool
}

// lost tells once, as a matter of information: the relay warns when messages
// can't go by the broker.
func (n *news) lost(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down++; n.down == 1 {
		n.since = time.Now()
		n.log.Info("connection to the AMQP server lost; trying again", "error", err)
	}
}

func (n *news) back() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down--; n.down == 0 {
		n.stuck = false
		n.log.Info("connected to the AMQP server again", "after", time.Since(n.since).Round(time.Millisecond))
	}
}

func (n *news) blocked(b amqp091.Blocking) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b.Active == n.stuck {
		return
	}
	n.stuck = b.Active
	if b.Active {
		n.log.Warn("the AMQP server takes no messages for now; publishing waits", "reason", b.Reason)
		return
	}
	n.log.Info("the AMQP server takes messages again")
}
