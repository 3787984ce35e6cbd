package inflight

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// delivery is a message that is out.
type delivery struct {
	msg *message.Message
	end context.CancelFunc // of the message's context
}

type verdict int

const (
	acknowledged verdict = iota
	refused
	abandoned // the subscription ended long ago
)

// deliver gives a message out, unless ctx ends.
func (f *Flights[K]) deliver(ctx context.Context, newMessage func() *message.Message) (delivery, bool) {
	if ctx.Err() != nil {
		return delivery{}, false
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	msg := newMessage()
	msg.SetContext(work)
	select {
	case f.out <- msg:
		return delivery{msg, cancel}, true
	case <-ctx.Done():
		cancel()
		return delivery{}, false
	}
}

// carry waits for the answer to a delivery, and delivers again what was
// refused. The message has a slot when it begins.
func (f *Flights[K]) carry(ctx context.Context, key K, d delivery, newMessage func() *message.Message) {
	for times := 1; ; times++ {
		v := f.await(ctx, d.msg)
		d.end()
		switch v {
		case acknowledged:
			f.Done(key)
			<-f.slots
			return
		case abandoned:
			f.GiveBack(key)
			<-f.slots
			return
		}
		var ok bool
		if d, ok = f.redeliver(ctx, times, newMessage); !ok {
			f.GiveBack(key)
			return
		}
	}
}

// await waits for an answer, for a bounded time after ctx ended.
func (f *Flights[K]) await(ctx context.Context, msg *message.Message) verdict {
	ended := ctx.Done()
	var over <-chan time.Time
	for {
		select {
		case <-msg.Acked():
			return acknowledged
		case <-msg.Nacked():
			return refused
		case <-ended:
			drain := time.NewTimer(f.drain)
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
func (f *Flights[K]) redeliver(ctx context.Context, times int, newMessage func() *message.Message) (d delivery, ok bool) {
	if !f.startSending() {
		<-f.slots
		return d, false
	}
	defer f.senders.Done()
	if !f.rest(ctx, times) {
		return d, false
	}
	if d, ok = f.deliver(ctx, newMessage); !ok {
		<-f.slots
	}
	return d, ok
}

// startSending reports whether out is still open, and keeps it so until
// senders is told that it is done.
func (f *Flights[K]) startSending() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		f.senders.Add(1)
	}
	return !f.ended
}

// rest waits between two deliveries. Too many that rest keep their slots:
// where everything is refused, it must not all be fetched from the broker.
func (f *Flights[K]) rest(ctx context.Context, times int) bool {
	pause := time.NewTimer(min(time.Millisecond<<min(times, 10), time.Second))
	defer pause.Stop()
	select {
	case f.refused <- struct{}{}:
		<-f.slots
		defer func() { <-f.refused }()
	default:
		return f.restInPlace(ctx, pause.C)
	}
	select {
	case <-pause.C:
		return acquire(ctx, f.slots)
	case <-ctx.Done():
		return false
	}
}

// restInPlace waits with the slot, and loses it when ctx ends.
func (f *Flights[K]) restInPlace(ctx context.Context, pause <-chan time.Time) bool {
	select {
	case <-pause:
		return true
	case <-ctx.Done():
		<-f.slots
		return false
	}
}
