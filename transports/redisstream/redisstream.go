package redisstream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/inflight"
	"github.com/millrace-go/millrace/transports/link"
)

var errClosed = errors.New("redis transport is closed")

// Transport is a connection to a Redis server. It is safe for concurrent use.
// When the server is lost, subscriptions wait for it, and publishing fails
// after a few seconds.
type Transport struct {
	cfg     Config
	client  *redis.Client
	readers *redis.Client // for commands that block
	server  server
	link    *link.Link

	mu     sync.Mutex
	subs   map[*Subscriber]bool
	closed bool
}

var (
	_ transports.Transport  = (*Transport)(nil)
	_ transports.Attacher   = (*Transport)(nil)
	_ transports.Backlogger = (*Transport)(nil)
)

// Open connects to the server that rawURL names, as in
// redis://user:password@host:port/db?group=millrace, and checks that it can be
// used. Options in the URL win over those of c. It gives up after 4 s. An
// error is one line; it is store.ErrUnavailable when the server can't be
// reached. The caller closes the Transport.
func Open(ctx context.Context, rawURL string, c Config) (*Transport, error) {
	o, c, err := parse(rawURL, c)
	if err != nil {
		return nil, fmt.Errorf("redisstream: %w", err)
	}
	t := &Transport{cfg: c, client: redis.NewClient(forCommands(o)), readers: redis.NewClient(forReaders(o)), subs: map[*Subscriber]bool{}}
	t.link = link.New(c.Log, "the Redis server at "+o.Addr)
	if t.server, err = inspect(ctx, t.client, o); err != nil {
		return nil, errors.Join(fmt.Errorf("redisstream: %w", err), t.disconnect())
	}
	t.server.announce(c.Log)
	return t, nil
}

func (t *Transport) stream(topic string) string { return t.cfg.Prefix + topic }

// Publisher implements [transports.Transport]. The publisher is a
// [transports.BatchPublisher]; all that one call publishes goes out in one
// round trip.
func (t *Transport) Publisher() (message.Publisher, error) {
	if t.isClosed() {
		return nil, errClosed
	}
	return publisher{t}, nil
}

// Subscriber implements [transports.Transport]. Each subscription is one
// consumer of the group, and has one connection for reading.
func (t *Transport) Subscriber(concurrency int) (message.Subscriber, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errClosed
	}
	s := &Subscriber{t: t, concurrency: max(concurrency, 1), open: inflight.Group{Err: errClosed}}
	t.subs[s] = true
	return s, nil
}

func (t *Transport) forget(s *Subscriber) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subs, s)
}

// Backlog implements [transports.Backlogger]: entries that the group has not
// acknowledged. Where that group does not exist, it is what the foremost of
// others has not acknowledged, and without any group all entries.
func (t *Transport) Backlog(ctx context.Context, topic string) (int, error) {
	stream := t.stream(topic)
	length, err := t.client.XLen(ctx, stream).Result()
	if err != nil || length == 0 {
		return 0, err
	}
	groups, err := t.client.XInfoGroups(ctx, stream).Result()
	if err != nil {
		return int(length), nil // it is gone by now, or may not be asked
	}
	least := length
	for _, g := range groups {
		open := g.Lag + g.Pending
		if g.Lag < 0 { // the server can't tell
			open = length
		}
		if g.Name == t.cfg.Group {
			return int(min(length, open)), nil
		}
		least = min(least, open)
	}
	return int(least), nil
}

// Close implements [transports.Transport].
func (t *Transport) Close() error {
	t.mu.Lock()
	subs := make([]*Subscriber, 0, len(t.subs))
	for s := range t.subs {
		subs = append(subs, s)
	}
	again := t.closed
	t.closed = true
	t.mu.Unlock()
	var all sync.WaitGroup
	for _, s := range subs {
		all.Go(func() { _ = s.Close() })
	}
	all.Wait()
	if again {
		return nil
	}
	return t.disconnect()
}

func (t *Transport) disconnect() error { return errors.Join(t.client.Close(), t.readers.Close()) }

func (t *Transport) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}
