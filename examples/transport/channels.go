// Package channels is a transport for millrace as another module brings it:
// topics are Go channels. Importing it registers the scheme channels:
//
//	import _ "example.com/channels"
//
//	r, err := router.New(ctx, router.Config{Transport: "channels:"})
//
// What waits in a channel is lost with the process, as with any broker that
// keeps nothing; the store publishes it again.
package channels

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/transports"
)

func init() { transports.Register("channels", open) }

const (
	// room is how many messages of a topic wait before publishing blocks.
	room = 10_000

	// drain is how long handlers may take to finish when a subscription ends.
	drain = 5 * time.Second
)

// entry is a message that waits, and how often it was refused.
type entry struct {
	msg     *message.Message
	refused int
}

// copyOf returns a message that shares nothing with msg.
func copyOf(msg *message.Message) *message.Message {
	c := msg.Copy()
	c.Payload = bytes.Clone(msg.Payload)
	return c
}

// transport implements [transports.Transport].
type transport struct {
	mu     sync.Mutex
	topics map[string]chan entry
	subs   []*subscriber
	closed chan struct{}
	close  func()
}

func open(_ context.Context, u *url.URL) (transports.Transport, error) {
	if u.Opaque != "" || u.Host != "" || u.Path != "" {
		return nil, fmt.Errorf("the URL must be %q", u.Scheme+":")
	}
	t := &transport{topics: map[string]chan entry{}, closed: make(chan struct{})}
	t.close = sync.OnceFunc(func() { close(t.closed) })
	return t, nil
}

func (t *transport) topic(name string) chan entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.topics[name] == nil {
		t.topics[name] = make(chan entry, room)
	}
	return t.topics[name]
}

// Publisher implements [transports.Transport].
func (t *transport) Publisher() (message.Publisher, error) { return publisher{t}, nil }

// Subscriber implements [transports.Transport].
func (t *transport) Subscriber(concurrency int) (message.Subscriber, error) {
	s := &subscriber{t: t, concurrency: concurrency}
	s.life, s.end = context.WithCancel(context.Background())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subs = append(t.subs, s)
	return s, nil
}

// Close implements [transports.Transport].
func (t *transport) Close() error {
	t.close()
	t.mu.Lock()
	subs := t.subs
	t.mu.Unlock()
	for _, s := range subs {
		_ = s.Close() // it never fails
	}
	return nil
}

var errClosed = errors.New("channels: closed")

type publisher struct{ t *transport }

// Publish implements [message.Publisher]. It blocks while a topic is full.
func (p publisher) Publish(topic string, msgs ...*message.Message) error {
	for _, msg := range msgs {
		select {
		case <-p.t.closed:
			return errClosed
		default:
		}
		select {
		case p.t.topic(topic) <- entry{msg: copyOf(msg)}:
		case <-p.t.closed:
			return errClosed
		}
	}
	return nil
}

// Close implements [message.Publisher].
func (p publisher) Close() error { return nil }

type subscriber struct {
	t           *transport
	concurrency int
	life        context.Context // until Close
	end         context.CancelFunc

	mu  sync.Mutex // no subscription is begun while Close waits for all
	all sync.WaitGroup
}

// Subscribe implements [message.Subscriber].
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return nil, errClosed
	}
	both, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel)
	x := subscription{ctx: ctx, end: both.Done(), in: s.t.topic(topic), out: make(chan *message.Message)}
	s.all.Go(func() {
		defer cancel()
		defer stop()
		x.run(s.concurrency)
	})
	return x.out, nil
}

// Close implements [message.Subscriber].
func (s *subscriber) Close() error {
	s.mu.Lock()
	s.end()
	s.mu.Unlock()
	s.all.Wait()
	return nil
}

// subscription gives messages of a topic to one who subscribed.
type subscription struct {
	ctx context.Context
	end <-chan struct{} // closed when that has ended, or the subscriber was closed
	in  chan entry
	out chan *message.Message
}

// run keeps up to so many messages in flight. When the subscription ends it
// begins nothing new, and lets handlers finish what they have.
func (x *subscription) run(concurrency int) {
	var flying sync.WaitGroup
	defer flying.Wait()
	defer close(x.out)
	for slots := make(chan struct{}, concurrency); ; {
		select {
		case slots <- struct{}{}:
		case <-x.end:
			return
		}
		var e entry
		select {
		case e = <-x.in:
		case <-x.end:
			return
		}
		given := copyOf(e.msg)
		ctx, cancel := context.WithCancel(context.WithoutCancel(x.ctx))
		given.SetContext(ctx)
		select {
		case x.out <- given:
		case <-x.end:
			cancel()
			x.putBack(e)
			return
		}
		flying.Go(func() {
			acked := x.answer(given)
			cancel()
			<-slots
			if !acked {
				x.again(e)
			}
		})
	}
}

// answer waits for a message's acknowledgement or refusal, which is also that
// none comes for a while after the subscription's end.
func (x *subscription) answer(given *message.Message) (acked bool) {
	select {
	case <-given.Acked():
		return true
	case <-given.Nacked():
		return false
	case <-x.end:
	}
	select {
	case <-given.Acked():
		return true
	case <-given.Nacked():
	case <-time.After(drain):
	}
	return false
}

// again puts a message back, after a pause that grows with each refusal.
func (x *subscription) again(e entry) {
	e.refused++
	select {
	case <-time.After(time.Millisecond << min(e.refused, 10)):
	case <-x.end:
	}
	x.putBack(e)
}

// putBack leaves a message to whoever takes it next. A topic that stays full
// loses it, so that nobody's end waits for that; the store publishes it again.
func (x *subscription) putBack(e entry) {
	select {
	case x.in <- e:
	case <-time.After(drain):
	}
}
