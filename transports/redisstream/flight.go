package redisstream

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
)

// delivery is a message that a subscriber got.
type delivery struct {
	msg *message.Message
	end context.CancelFunc // of the message's context
}

type verdict int

const (
	acknowledged verdict = iota
	refusedBack
	abandoned // the subscription ended long ago
)

// deliver makes a message of an entry and waits until somebody takes it, or
// ctx ends.
func (x *subscription) deliver(ctx context.Context, e redis.XMessage) (delivery, bool) {
	msg, err := messageOf(x.stream, e)
	if err != nil || ctx.Err() != nil {
		return delivery{}, false
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	msg.SetContext(work)
	select {
	case x.out <- msg:
		return delivery{msg, cancel}, true
	case <-ctx.Done():
		cancel()
		return delivery{}, false
	}
}

// carry waits for the answer to a delivery, and delivers again what was
// refused. The message has a slot when it begins.
func (x *subscription) carry(ctx context.Context, e redis.XMessage, d delivery) {
	for times := 1; ; times++ {
		v := x.await(ctx, d.msg)
		d.end()
		switch v {
		case acknowledged:
			x.answers.done(e.ID)
			<-x.slots
			return
		case abandoned:
			x.answers.giveBack(e.ID)
			<-x.slots
			return
		}
		var ok bool
		if d, ok = x.redeliver(ctx, e, times); !ok {
			x.answers.giveBack(e.ID)
			return
		}
	}
}

// await waits for an answer, for a bounded time after ctx ended.
func (x *subscription) await(ctx context.Context, msg *message.Message) verdict {
	ended := ctx.Done()
	var over <-chan time.Time
	for {
		select {
		case <-msg.Acked():
			return acknowledged
		case <-msg.Nacked():
			return refusedBack
		case <-ended:
			drain := time.NewTimer(x.t.cfg.Drain)
			defer drain.Stop()
			ended, over = nil, drain.C
		case <-over:
			return abandoned
		}
	}
}

// redeliver delivers a message that was refused after a pause, in which
// others have its slot. When it fails, since ctx has ended, the message has no
// slot.
func (x *subscription) redeliver(ctx context.Context, e redis.XMessage, times int) (d delivery, ok bool) {
	if !x.startSending() {
		<-x.slots
		return d, false
	}
	defer x.senders.Done()
	if !x.rest(ctx, times) {
		return d, false
	}
	if d, ok = x.deliver(ctx, e); !ok {
		<-x.slots
	}
	return d, ok
}

// rest waits between two deliveries. Too many that rest keep their slots:
// where everything is refused, it must not all be fetched from the server.
func (x *subscription) rest(ctx context.Context, times int) bool {
	pause := time.NewTimer(min(time.Millisecond<<min(times, 10), time.Second))
	defer pause.Stop()
	select {
	case x.refused <- struct{}{}:
		<-x.slots
		defer func() { <-x.refused }()
	default:
		select {
		case <-pause.C:
			return true
		case <-ctx.Done():
			<-x.slots
			return false
		}
	}
	select {
	case <-pause.C:
		return acquire(ctx, x.slots)
	case <-ctx.Done():
		return false
	}
}
