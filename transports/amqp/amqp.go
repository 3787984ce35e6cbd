// Package amqp is the transport over RabbitMQ (AMQP 0-9-1).
//
//	import _ "github.com/millrace-go/millrace/transports/amqp"
//
//	t, err := transports.Open(ctx, "amqp://user:password@host:5672/vhost?queue=quorum")
//
// A topic is one durable queue of its name, which all subscriptions share.
// Messages are persistent, publishing returns once the server has confirmed
// it, and message id, correlation id, reply-to and content type are standard
// properties: a daemon in any language can take part (see [Marshaler]).
//
// Of Watermill's own AMQP package this one takes the configuration, the
// topology and the seam for marshalling ([Config.Watermill]). Its publisher
// waits for one confirm at a time and can hang for ever after a cut; its
// subscriber keeps one message in flight and drops acknowledgements when it is
// closed. Both stand here, on the same client library.
package amqp

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace-go/millrace/transports"
)

var (
	// ErrClosed says that the transport or the subscriber is closed.
	ErrClosed = errors.New("amqp transport is closed")

	// ErrDisconnected says that the server was away for longer than
	// [Config.Patience]. The connection is tried again all the time.
	ErrDisconnected = errors.New("not connected to the AMQP server")

	// ErrNotConfirmed says that the server did not confirm what was published:
	// it was refused, or the connection broke before the answer came. Some of
	// it may have arrived.
	ErrNotConfirmed = errors.New("not confirmed by the AMQP server")

	// ErrUnroutable says that the queue of a message disappeared again and
	// again while it was published.
	ErrUnroutable = errors.New("the queue disappears while messages are published to it")
)

func init() {
	transports.Register("amqp", openURL)
	transports.Register("amqps", openURL)
}

func openURL(ctx context.Context, u *url.URL) (transports.Transport, error) {
	c, err := ParseURL(u)
	if err != nil {
		return nil, err
	}
	return Open(ctx, c)
}

// Transport is a connection to a server: two in fact, since a server that
// takes no more messages also stops reading acknowledgements from the
// connection that publishes. Both are opened again whenever they break.
type Transport struct {
	c       Config
	name    naming
	publish *link
	consume *link
	queues  *queues
	pub     *publisher

	mu     sync.Mutex
	subs   map[*Subscriber]bool
	closed bool
	stop   context.CancelFunc
	all    sync.WaitGroup // the links
}

var _ transports.Backlogger = (*Transport)(nil)

// Open connects to the server that c names. It fails within 5 seconds if that
// can't be reached or does not let us in.
func Open(ctx context.Context, c Config) (*Transport, error) {
	c, d, err := c.prepare()
	if err != nil {
		return nil, err
	}
	news := &news{log: c.Log.With("server", d.addr)}
	t := &Transport{
		c: c, name: naming{vhost: d.vhost, prefix: c.Prefix},
		publish: newLink(d, news, c.Patience), consume: newLink(d, news, c.Patience),
		subs: map[*Subscriber]bool{},
	}
	if err := connect(ctx, t.publish, t.consume); err != nil {
		return nil, err
	}
	t.queues = &queues{c: c, publish: t.publish}
	t.pub = newPublisher(t)
	ctx, t.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, l := range []*link{t.publish, t.consume} {
		t.all.Go(func() { l.run(ctx) })
	}
	return t, nil
}

// connect connects the links, and closes those that could be if one can't.
func connect(ctx context.Context, links ...*link) error {
	ctx, cancel := context.WithTimeout(ctx, connecting)
	defer cancel()
	errs := make([]error, len(links))
	var all sync.WaitGroup
	for i, l := range links {
		all.Go(func() { errs[i] = l.connect(ctx) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			for _, l := range links {
				l.disconnect()
			}
			return err
		}
	}
	return nil
}

// Publisher implements [transports.Transport]. What it returns is a
// [transports.BatchPublisher].
func (t *Transport) Publisher() (message.Publisher, error) {
	if t.isClosed() {
		return nil, ErrClosed
	}
	return t.pub, nil
}

// Subscriber implements [transports.Transport]. A subscription is one consumer
// with a prefetch of concurrency, on a channel of its own.
func (t *Transport) Subscriber(concurrency int) (message.Subscriber, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	s := newSubscriber(t, concurrency)
	t.subs[s] = true
	return s, nil
}

func (t *Transport) forget(s *Subscriber) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subs, s)
}

// gone has the subscriptions of a queue that was deleted make it again.
func (t *Transport) gone(queue string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.subs {
		s.renew(queue)
	}
}

// Backlog implements [transports.Backlogger]. It counts what waits in the
// queue, and what is in flight with subscriptions of this transport; what
// other processes have in flight the server does not tell.
func (t *Transport) Backlog(ctx context.Context, topic string) (int, error) {
	n, err := t.waiting(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("backlog of %s: %w", topic, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.subs {
		n += s.inFlight(topic)
	}
	return n, nil
}

func (t *Transport) waiting(ctx context.Context, topic string) (int, error) {
	waiting := make(chan int, 1)
	err := once(ctx, t.consume, func(ch *amqp091.Channel) error {
		q, err := ch.QueueDeclarePassive(t.name.queue(topic), true, false, false, false, nil)
		waiting <- q.Messages
		return err
	})
	switch {
	case answered(err, amqp091.NotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return <-waiting, nil
}

// answered reports whether err is the server's answer with such a code.
func answered(err error, code int) bool {
	answer := answerIn(err)
	return answer != nil && answer.Code == code
}

func answerIn(err error) *amqp091.Error {
	var answer *amqp091.Error
	if !errors.As(err, &answer) {
		return nil
	}
	return answer
}

// Close implements [transports.Transport]. It waits until all subscriptions
// have drained, which publishing outlives.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	subs := make([]*Subscriber, 0, len(t.subs))
	for s := range t.subs {
		subs = append(subs, s)
	}
	t.mu.Unlock()
	var all sync.WaitGroup
	for _, s := range subs {
		all.Go(func() { _ = s.Close() })
	}
	all.Wait()
	t.stop()
	t.all.Wait()
	return nil
}

func (t *Transport) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// pause is how long the n-th trial in a row waits, from first to most.
func pause(n int, first, most time.Duration) time.Duration {
	for ; n > 0 && first < most; n-- {
		first *= 2
	}
	return min(first, most)
}

// oneLine keeps an error on one line, as it goes into a log or to the user.
func oneLine(err error) error {
	text := err.Error()
	if !strings.ContainsAny(text, "\r\n") {
		return err
	}
	return errors.New(strings.Join(strings.Fields(text), " "))
}
