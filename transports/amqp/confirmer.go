package amqp

import (
	"context"
	"fmt"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// stalled is how long the server may leave a message unanswered that it can
// take.
const stalled = 30 * time.Second

// confirmer publishes on a channel, many messages at a time without waiting
// for each. One goroutine uses it.
type confirmer struct {
	ch      *amqp091.Channel
	link    *link
	window  int
	returns chan amqp091.Return
}

// newConfirmer puts a new channel into confirm mode; it is closed if that
// fails.
func newConfirmer(ch *amqp091.Channel, l *link, window int) (*confirmer, error) {
	if err := ch.Confirm(false); err != nil {
		_ = ch.Close()
		return nil, fmt.Errorf("ask for confirms: %w", oneLine(err))
	}
	// The reader of the connection puts a return into the buffer before it
	// sees the confirm of the same message. It must never wait there.
	returns := ch.NotifyReturn(make(chan amqp091.Return, window))
	return &confirmer{ch: ch, link: l, window: window, returns: returns}, nil
}

// publish returns once all of out are confirmed: those that no queue took are
// returned. After an error something may be under way on the channel.
func (c *confirmer) publish(ctx context.Context, out []outgoing) (returned []outgoing, err error) {
	confirms := make([]*amqp091.DeferredConfirmation, len(out))
	lost := map[string]bool{} // keys of messages that were returned
	settle := func(i int) error {
		if err := c.await(ctx, confirms[i]); err != nil {
			return err
		}
		c.collect(lost)
		return nil
	}
	for i, m := range out {
		if i >= c.window {
			if err := settle(i - c.window); err != nil {
				return nil, err
			}
		}
		if err := c.link.unblocked(ctx); err != nil {
			return nil, err
		}
		confirms[i], err = c.ch.PublishWithDeferredConfirm("", m.queue, true, false, m.Publishing)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotConfirmed, oneLine(err))
		}
	}
	for i := max(0, len(out)-c.window); i < len(out); i++ {
		if err := settle(i); err != nil {
			return nil, err
		}
	}
	return pick(out, lost), c.refused(confirms)
}

// await waits for one confirm.
func (c *confirmer) await(ctx context.Context, confirm *amqp091.DeferredConfirmation) error {
	select {
	case <-confirm.Done():
		return nil
	default:
	}
	timer := time.NewTimer(stalled)
	defer timer.Stop()
	for {
		select {
		case <-confirm.Done():
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			if !c.link.isBlocked() {
				return fmt.Errorf("%w within %s", ErrNotConfirmed, stalled)
			}
			timer.Reset(stalled)
		}
	}
}

// refused returns an error unless all are confirmed.
func (c *confirmer) refused(confirms []*amqp091.DeferredConfirmation) error {
	n := 0
	for _, confirm := range confirms {
		if !confirm.Acked() {
			n++
		}
	}
	switch {
	case n == 0:
		return nil
	case c.ch.IsClosed():
		return fmt.Errorf("%w: the connection broke with %d messages under way", ErrNotConfirmed, n)
	}
	return fmt.Errorf("%w: it refused %d messages", ErrNotConfirmed, n)
}

// collect notes what was returned so far.
func (c *confirmer) collect(lost map[string]bool) {
	for {
		select {
		case r, open := <-c.returns:
			if !open {
				return
			}
			lost[key(r.RoutingKey, r.MessageId, r.Headers)] = true
		default:
			return
		}
	}
}

// pick returns the messages of out that were returned. Two of one id for one
// queue are taken for the same.
func pick(out []outgoing, lost map[string]bool) []outgoing {
	if len(lost) == 0 {
		return nil
	}
	var picked []outgoing
	for _, m := range out {
		if lost[key(m.queue, m.MessageId, m.Headers)] {
			picked = append(picked, m)
		}
	}
	return picked
}

// key tells messages in a batch apart.
func key(queue, id string, headers amqp091.Table) string {
	if id == "" {
		id = text(headers[headerID])
	}
	return queue + "\x00" + id
}
