package relay_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/envelope"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/memory"
)

var errDown = errors.New("the broker is down")

// broker is a broker in memory that fails on demand, counts the messages that
// it has, and loses or repeats those that a test names.
type broker struct {
	*memory.Transport
	name string

	mu     sync.Mutex
	down   bool
	ends   []context.CancelFunc
	has    map[string]int                               // messages by topic
	most   map[string]int                               // the most that it had
	came   map[string]int                               // all that it ever had
	copies func(topic string, msg *message.Message) int // how often a message arrives; nil: once
}

// The brokers of the tests, by name.
var brokers = struct {
	sync.Mutex
	named map[string]*broker
}{named: map[string]*broker{}}

func init() {
	transports.Register("faulty", func(_ context.Context, u *url.URL) (transports.Transport, error) {
		brokers.Lock()
		defer brokers.Unlock()
		return connection{brokers.named[u.Opaque]}, nil
	})
}

func newBroker(name string) *broker {
	brokers.Lock()
	defer brokers.Unlock()
	b := &broker{Transport: memory.New(), name: name, has: map[string]int{}, most: map[string]int{}, came: map[string]int{}}
	brokers.named[name] = b
	return b
}

// fail makes the broker end all subscriptions and refuse everything, or not.
func (b *broker) fail(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
	if down {
		for _, end := range b.ends {
			end()
		}
		b.ends = nil
	}
}

// wipe loses all that waits.
func (b *broker) wipe() {
	b.Wipe()
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.has)
}

// distort says how often messages arrive.
func (b *broker) distort(copies func(topic string, msg *message.Message) int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.copies = copies
}

func (b *broker) count(topic string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.has[topic] = max(b.has[topic]+n, 0)
	b.most[topic] = max(b.most[topic], b.has[topic])
	b.came[topic] += max(n, 0)
}

func (b *broker) total(topic string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.came[topic]
}

func (b *broker) peak(topic string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.most[topic]
}

// weight is for how many messages an envelope stands.
func weight(msg *message.Message) int {
	var seqs []int64
	if msg.Metadata[envelope.Task] == "" && json.Unmarshal(msg.Payload, &seqs) == nil {
		return len(seqs)
	}
	return 1
}

// connection is one process's.
type connection struct{ *broker }

func (c connection) Close() error { return nil } // others go on

// Backlog implements transports.Backlogger: in envelopes, as brokers count.
func (c connection) Backlog(_ context.Context, topic string) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return 0, errDown
	}
	return c.has[topic], nil
}

func (c connection) Publisher() (message.Publisher, error) { return publisher(c), nil }

type publisher struct{ *broker }

func (p publisher) Close() error { return nil }

func (p publisher) Publish(topic string, msgs ...*message.Message) error {
	pub, err := p.Transport.Publisher()
	if err != nil {
		return err
	}
	for _, msg := range msgs {
		for range p.fate(topic, msg) {
			p.count(topic, weight(msg))
			if err := pub.Publish(topic, msg); err != nil {
				return err
			}
		}
		if p.isDown() {
			return errDown
		}
	}
	return nil
}

func (b *broker) isDown() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.down
}

// fate is how often a message is to arrive.
func (b *broker) fate(topic string, msg *message.Message) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.down:
		return 0
	case b.copies == nil:
		return 1
	}
	return b.copies(topic, msg)
}

func (c connection) Subscriber(concurrency int) (message.Subscriber, error) {
	sub, err := c.Transport.Subscriber(concurrency)
	return subscriber{sub, c.broker}, err
}

type subscriber struct {
	message.Subscriber
	b *broker
}

func (s subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.b.down {
		return nil, errDown
	}
	ctx, end := context.WithCancel(ctx)
	s.b.ends = append(s.b.ends, end)
	in, err := s.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	var answers sync.WaitGroup
	go func() {
		defer close(out)
		for msg := range in {
			select {
			case out <- msg:
				answers.Go(func() { s.answered(topic, msg) })
			case <-ctx.Done():
				msg.Nack()
			}
		}
	}()
	return out, nil
}

func (s subscriber) answered(topic string, msg *message.Message) {
	select {
	case <-msg.Acked():
		s.b.count(topic, -weight(msg))
	case <-msg.Nacked():
	}
}
