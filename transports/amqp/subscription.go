package amqp

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/rabbitmq/amqp091-go"
)

// Pauses between trials to open a subscription again.
const (
	firstReopen = 20 * time.Millisecond
	mostReopen  = 5 * time.Second
)

// subscription delivers the messages of a topic, over one consumer after the
// other.
type subscription struct {
	s     *Subscriber
	topic string
	queue string
	out   chan *message.Message
	slots chan struct{} // one for each message in flight
	now   atomic.Pointer[consumer]
	renew chan struct{} // asks for a new consumer
	over  chan struct{} // closed when nobody waits for acknowledgements any more
	all   sync.WaitGroup
}

func newSubscription(s *Subscriber, topic string) *subscription {
	return &subscription{
		s: s, topic: topic, queue: s.t.name.queue(topic),
		out:   make(chan *message.Message),
		slots: make(chan struct{}, s.concurrency),
		renew: make(chan struct{}, 1),
		over:  make(chan struct{}),
	}
}

// consumer is one consumer of the queue, on a channel of its own.
type consumer struct {
	ch         *amqp091.Channel
	tag        string
	deliveries chan amqp091.Delivery // with room for all that can be unsettled
	acks       *acks
	flying     sync.WaitGroup // messages in flight
}

// consume makes the queue, and a consumer that gets as many messages as may be
// in flight.
func (sub *subscription) consume(ctx context.Context) (*consumer, error) {
	t := sub.s.t
	if err := t.queues.make(ctx, t.consume, sub.queue); err != nil {
		return nil, err
	}
	opened, gone := make(chan *consumer), make(chan struct{})
	defer close(gone)
	failed := make(chan error, 1)
	started := t.consume.start(func() {
		c, err := sub.open(ctx)
		if err != nil {
			failed <- err
			return
		}
		select {
		case opened <- c:
		case <-gone:
			_ = c.ch.Close()
		}
	})
	if !started {
		return nil, ErrClosed
	}
	limit := time.NewTimer(answering)
	defer limit.Stop()
	select {
	case c := <-opened:
		sub.now.Store(c)
		return c, nil
	case err := <-failed:
		return nil, oneLine(err)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-limit.C:
		return nil, fmt.Errorf("queue %q: no answer within %s", sub.queue, answering)
	}
}

// open may hang; see [link.call].
func (sub *subscription) open(ctx context.Context) (*consumer, error) {
	ch, err := sub.s.t.consume.channel(ctx)
	if err != nil {
		return nil, err
	}
	c := &consumer{ch: ch, tag: "millrace-" + watermill.NewShortUUID(), acks: newAcks(ch)}
	err = ch.Qos(sub.s.concurrency, 0, false)
	if err == nil {
		err = sub.begin(c)
	}
	if err != nil {
		_ = ch.Close()
		return nil, err
	}
	return c, nil
}

// begin has the server deliver to c. What came is taken at once, so that it
// can be counted.
func (sub *subscription) begin(c *consumer) error {
	came, err := c.ch.Consume(sub.queue, c.tag, false, false, false, false, nil)
	if err != nil {
		return err
	}
	c.deliveries = make(chan amqp091.Delivery, sub.s.concurrency)
	started := sub.s.t.consume.start(func() {
		defer close(c.deliveries)
		for d := range came {
			c.acks.came()
			c.deliveries <- d
		}
	})
	if !started {
		return ErrClosed
	}
	return nil
}

// run delivers until ctx ends, then waits for what is in flight.
func (sub *subscription) run(ctx context.Context, c *consumer) {
	for n := 0; c != nil; n++ {
		if sub.deliver(ctx, c) {
			n = 0
		}
		if ctx.Err() != nil {
			break
		}
		sub.retire(c)
		c = sub.again(ctx, n)
	}
	close(sub.out)
	sub.drain(c)
}

// retire ends a consumer, on whose channel what is in flight can still be
// acknowledged, unless that is closed.
func (sub *subscription) retire(c *consumer) {
	sub.cancel(c)
	sub.all.Go(func() {
		c.flying.Wait()
		sub.close(c)
	})
}

// again opens a consumer after a pause that grows while that fails, or brings
// nothing; nil when ctx ends first.
func (sub *subscription) again(ctx context.Context, n int) *consumer {
	for ; ; n++ {
		if !sleep(ctx, pause(n, firstReopen, mostReopen)) {
			return nil
		}
		c, err := sub.consume(ctx)
		if err == nil {
			return c
		}
		sub.s.t.c.Log.Debug("a subscription could not be opened again", "topic", sub.topic, "error", err)
	}
}

// sleep reports whether ctx lasted as long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// deliver hands out what c receives until ctx ends, or c, or it is time for
// another consumer. It reports whether all was well until then.
func (sub *subscription) deliver(ctx context.Context, c *consumer) (well bool) {
	watch := time.NewTicker(silence)
	defer watch.Stop()
	silent := false
	for {
		select {
		case d, open := <-c.deliveries:
			if !open { // the server sends nothing on deleting a queue: this is no message
				return well
			}
			well, silent = true, false
			sub.handOut(ctx, c, d)
		case <-watch.C:
			if silent && len(sub.slots) < cap(sub.slots) {
				return true
			}
			silent = true
		case <-sub.renew:
			return true
		case <-ctx.Done():
			return true
		}
	}
}

// silence is how long a consumer may get nothing before another takes its
// place. When a quorum queue is deleted and made again at once, the server
// gives what the new one gets to the old one's consumers, and they never see
// it; a new consumer does, when the old one is gone.
const silence = 3 * time.Second

// handOut hands a message out, or puts it where it belongs.
func (sub *subscription) handOut(ctx context.Context, c *consumer, d amqp091.Delivery) {
	select {
	case sub.slots <- struct{}{}: // messages of an earlier consumer may still be in flight
	case <-ctx.Done():
		c.acks.giveBack(d.DeliveryTag)
		return
	}
	msg, err := Marshaler{}.Unmarshal(d)
	switch {
	case err != nil:
		sub.aside(c, func() { sub.park(ctx, c, d, err) })
		return
	case msg.UUID == "":
		sub.aside(c, func() { sub.name(ctx, c, d) })
		return
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	msg.SetContext(work)
	select {
	case sub.out <- msg:
		sub.aside(c, func() {
			defer cancel()
			sub.await(ctx, c, d, msg)
		})
	case <-ctx.Done():
		cancel()
		c.acks.giveBack(d.DeliveryTag)
		<-sub.slots
	}
}

// aside runs f, which ends the flight of a message.
func (sub *subscription) aside(c *consumer, f func()) {
	c.flying.Add(1)
	sub.all.Go(func() {
		defer c.flying.Done()
		defer func() { <-sub.slots }()
		f()
	})
}

// await settles a message as its subscriber says.
func (sub *subscription) await(ctx context.Context, c *consumer, d amqp091.Delivery, msg *message.Message) {
	select {
	case <-msg.Acked():
		c.acks.ack(d.DeliveryTag)
	case <-msg.Nacked():
		sub.putBack(ctx, c, d)
	case <-sub.over: // the channel's end gives it back
	}
}

// drain gives back what nobody has seen, waits for what is in flight, and
// closes the channel, which gives back the rest. c is nil if there is none.
func (sub *subscription) drain(c *consumer) {
	if c != nil {
		sub.cancel(c)
	}
	end := time.AfterFunc(sub.s.t.c.Drain, func() { close(sub.over) })
	sub.all.Wait()
	end.Stop()
	if c != nil {
		sub.close(c)
	}
}

func (sub *subscription) cancel(c *consumer) {
	err := sub.s.t.consume.call(context.Background(), closing, func() error { return c.ch.Cancel(c.tag, false) })
	if err != nil {
		return // the channel's end gives back all
	}
	for d := range c.deliveries {
		c.acks.giveBack(d.DeliveryTag)
	}
}

func (sub *subscription) close(c *consumer) {
	_ = sub.s.t.consume.call(context.Background(), closing, c.ch.Close)
}
