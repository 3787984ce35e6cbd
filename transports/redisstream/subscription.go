package redisstream

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/millrace-go/millrace/transports/inflight"
	"github.com/millrace-go/millrace/transports/link"
)

// consumers is what the names of our consumers begin with.
const consumers = "millrace-"

// subscription receives from one stream, as one consumer of the group.
type subscription struct {
	t                       *Transport
	log                     *slog.Logger
	stream, group, consumer string

	trouble *link.Link   // refusals of the server that concern this stream
	reading atomic.Int64 // id of the connection that reads, while it may block; 0: none does
	flights *inflight.Flights[string]
}

// run receives until ctx ends, and returns when nothing is in flight any more.
func (x *subscription) run(ctx context.Context) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { x.answer(life) })
	background.Go(func() { x.tend(life) })
	quiet := make(chan struct{})
	background.Go(func() { x.unblock(ctx, quiet) })

	x.receive(ctx)
	close(quiet)
	x.flights.Close()
	x.flights.Wait()
	end()
	background.Wait()
	x.leave()
}

// receive takes messages until ctx ends.
func (x *subscription) receive(ctx context.Context) {
	in := &inlet{x: x, claims: x.claimEvery()}
	defer in.close()
	defer x.uninvolved(in)
	var pause link.Pauses
	for {
		room := x.flights.Room(ctx)
		if room == 0 {
			return
		}
		entries, err := in.next(ctx, room)
		if err != nil {
			x.stumble(ctx, in, err)
			pause.Wait(ctx)
			continue
		}
		pause.Reset()
		x.worked(in)
		for _, e := range entries {
			x.take(ctx, e)
		}
	}
}

// stumble deals with a failed call: a group that is gone is made again, other
// things are told once.
func (x *subscription) stumble(ctx context.Context, who any, err error) {
	switch {
	case ctx.Err() != nil:
	case gone(err):
		made, err := x.join(ctx)
		if made {
			x.log.Warn("millrace: redis streams: the stream or its group was deleted; it is made again", "stream", x.stream)
		}
		if err != nil {
			x.fail(who, err)
		}
	default:
		x.fail(who, err)
	}
}

// fail, worked and uninvolved say how who gets on with the server.
func (x *subscription) fail(who any, err error) {
	if refused(err) {
		x.trouble.Failed(who, err)
		return
	}
	x.t.link.Failed(who, err)
}

func (x *subscription) worked(who any) {
	x.trouble.Works(who)
	x.t.link.Works(who)
}

func (x *subscription) uninvolved(who any) {
	x.trouble.Leave(who)
	x.t.link.Leave(who)
}

// claimEvery is how often to look for what others have left.
func (x *subscription) claimEvery() time.Duration {
	return max(x.t.cfg.ClaimAfter/4, time.Millisecond)
}

// take hands an entry on, or settles it if that can't be.
func (x *subscription) take(ctx context.Context, e redis.XMessage) {
	if !x.flights.Begin(e.ID) {
		return
	}
	if e.Values == nil { // it was deleted, but is pending
		x.flights.Done(e.ID)
		return
	}
	if _, err := messageOf(x.stream, e); err != nil {
		x.park(ctx, e, err)
		return
	}
	x.flights.Take(ctx, e.ID, func() *message.Message {
		msg, _ := messageOf(x.stream, e) // as above
		return msg
	})
}

// park puts away what is no message.
func (x *subscription) park(ctx context.Context, e redis.XMessage, reason error) {
	parked := x.stream + ".parked"
	values := make([]any, 0, 2*len(e.Values)+2)
	for k, v := range e.Values {
		values = append(values, k, v)
	}
	values = append(values, "parked_because", reason.Error())
	err := x.t.client.XAdd(context.WithoutCancel(ctx),
		&redis.XAddArgs{Stream: parked, MaxLen: parkedLimit, Approx: true, Values: values}).Err()
	if err != nil {
		x.flights.GiveBack(e.ID) // it comes again
		return
	}
	x.log.Warn("millrace: redis streams: an entry is no message; it is parked", "stream", parked, "entry", e.ID, "error", reason)
	x.flights.Done(e.ID)
}

// parkedLimit is about how many parked entries are kept of a topic.
const parkedLimit = 10_000
