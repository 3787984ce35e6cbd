// Package memory is a broker inside the process. It loses its messages with
// the process; with a durable store behind it nothing is lost all the same,
// since what is not finished is published again.
//
// Watermill's GoChannel gives each subscription a copy of every message, drops
// what nobody subscribes to, and keeps any number in flight. Here a topic is a
// queue, as it is with brokers outside.
package memory

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/transports"
)

func init() { transports.Register("memory", openURL) }

// openURL opens "memory:", a broker of its own, or "memory:name", the one that
// the process knows under that name.
func openURL(_ context.Context, u *url.URL) (transports.Transport, error) {
	if u.RawQuery != "" || u.Host != "" || u.Path != "" {
		return nil, fmt.Errorf("the memory transport takes no options, only memory: or memory:name")
	}
	return Open(u.Opaque), nil
}

// Transport is a connection to a broker in memory.
type Transport struct {
	broker *broker

	// Drain is how long subscribers that are closed wait for what they have
	// in flight; default 30 s. It is to be set before Subscriber is called.
	Drain time.Duration

	mu     sync.Mutex
	subs   []*Subscriber
	closed bool
}

var _ transports.Transport = (*Transport)(nil)

// New connects to a new broker that no other connection shares.
func New() *Transport { return &Transport{broker: newBroker("")} }

// Open connects to the broker that the process knows as name, a new one if
// nobody is connected to it. It lives until the last connection is closed. An
// empty name is [New].
func Open(name string) *Transport {
	if name == "" {
		return New()
	}
	return &Transport{broker: connect(name)}
}

// Publisher implements [transports.Transport]. Publishing neither blocks nor
// fails while the transport is open.
func (t *Transport) Publisher() (message.Publisher, error) { return publisher{t}, nil }

// Subscriber implements [transports.Transport].
func (t *Transport) Subscriber(concurrency int) (message.Subscriber, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errClosed
	}
	s := newSubscriber(t.broker, concurrency, t.Drain)
	t.subs = append(t.subs, s)
	return s, nil
}

// Wipe deletes what waits in all queues, as when a broker has lost its disk.
func (t *Transport) Wipe() { t.broker.wipe() }

// Close implements [transports.Transport].
func (t *Transport) Close() error {
	t.mu.Lock()
	subs, again := t.subs, t.closed
	t.closed = true
	t.mu.Unlock()
	var all sync.WaitGroup
	for _, s := range subs {
		all.Go(func() { _ = s.Close() })
	}
	all.Wait()
	if !again {
		t.broker.disconnect()
	}
	return nil
}

func (t *Transport) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// publisher outlives the handlers that close it.
type publisher struct{ t *Transport }

func (p publisher) Publish(topic string, msgs ...*message.Message) error {
	if p.t.isClosed() {
		return fmt.Errorf("publish to %s: %w", topic, errClosed)
	}
	q := p.t.broker.queue(topic)
	for _, msg := range msgs {
		q.push(newItem(msg))
	}
	return nil
}

func (publisher) Close() error { return nil }
