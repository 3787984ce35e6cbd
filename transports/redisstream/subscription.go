package redisstream

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
)

// consumers is what the names of our consumers begin with.
const consumers = "millrace-"

// subscription receives from one stream, as one consumer of the group.
type subscription struct {
	t                       *Transport
	log                     *slog.Logger
	stream, group, consumer string

	out     chan *message.Message
	slots   chan struct{} // one for each message in flight
	refused chan struct{} // one for each that waits to come again and takes no slot
	answers *answers
	trouble *link        // refusals of the server that concern this stream
	reading atomic.Int64 // id of the connection that reads, while it may block; 0: none does

	flying  sync.WaitGroup // messages in flight
	senders sync.WaitGroup // who may send on out
	mu      sync.Mutex
	ended   bool            // nobody may begin to send on out
	mine    map[string]bool // entries received and not settled
}

// run receives until ctx ends, and returns when nothing is in flight any more.
func (x *subscription) run(ctx context.Context) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { x.writeAnswers(life) })
	background.Go(func() { x.tend(life) })
	quiet := make(chan struct{})
	background.Go(func() { x.unblock(ctx, quiet) })

	x.receive(ctx)
	close(quiet)
	x.closeOut()
	x.flying.Wait()
	end()
	background.Wait()
	x.leave()
}

// receive takes messages until ctx ends.
func (x *subscription) receive(ctx context.Context) {
	in := &inlet{x: x, claims: x.claimEvery()}
	defer in.close()
	defer x.uninvolved(in)
	var pause pauses
	for {
		room := x.room(ctx)
		if room == 0 {
			return
		}
		entries, err := in.next(ctx, room)
		if err != nil {
			x.stumble(ctx, in, err)
			pause.wait(ctx)
			continue
		}
		pause.reset()
		x.worked(in)
		for _, e := range entries {
			x.take(ctx, e)
		}
	}
}

// room waits until a message has room, and returns for how many there is.
// When ctx ends, there is none.
func (x *subscription) room(ctx context.Context) int {
	if ctx.Err() != nil {
		return 0
	}
	select {
	case x.slots <- struct{}{}:
		<-x.slots
		return max(cap(x.slots)-len(x.slots), 1)
	case <-ctx.Done():
		return 0
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
			x.log.Warn("redisstream: the stream or its group was deleted; it is made again", "stream", x.stream)
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
		x.trouble.failed(who, err)
		return
	}
	x.t.link.failed(who, err)
}

func (x *subscription) worked(who any) {
	x.trouble.works(who)
	x.t.link.works(who)
}

func (x *subscription) uninvolved(who any) {
	x.trouble.leave(who)
	x.t.link.leave(who)
}

// claimEvery is how often to look for what others have left.
func (x *subscription) claimEvery() time.Duration {
	return max(x.t.cfg.ClaimAfter/4, time.Millisecond)
}

// take hands an entry on, or settles it if that can't be.
func (x *subscription) take(ctx context.Context, e redis.XMessage) {
	if !x.begin(e.ID) {
		return
	}
	if e.Values == nil { // it was deleted, but is pending
		x.answers.done(e.ID)
		return
	}
	if _, err := messageOf(x.stream, e); err != nil {
		x.park(ctx, e, err)
		return
	}
	if !acquire(ctx, x.slots) {
		x.answers.giveBack(e.ID)
		return
	}
	d, ok := x.deliver(ctx, e)
	if !ok {
		<-x.slots
		x.answers.giveBack(e.ID)
		return
	}
	x.flying.Go(func() { x.carry(ctx, e, d) })
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
		x.answers.giveBack(e.ID) // it comes again
		return
	}
	x.log.Warn("redisstream: an entry is no message; it is parked", "stream", parked, "entry", e.ID, "error", reason)
	x.answers.done(e.ID)
}

// parkedLimit is about how many parked entries are kept of a topic.
const parkedLimit = 10_000

// begin reports whether an entry is new to this subscription, which has it now.
func (x *subscription) begin(id string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mine[id] {
		return false
	}
	x.mine[id] = true
	return true
}

func (x *subscription) knows(id string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mine[id]
}

func (x *subscription) forget(ids []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, id := range ids {
		delete(x.mine, id)
	}
}

// known lists what is not settled.
func (x *subscription) known() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	ids := make([]string, 0, len(x.mine))
	for id := range x.mine {
		ids = append(ids, id)
	}
	return ids
}

// startSending reports whether out is still open, and keeps it so until
// senders is told that it is done.
func (x *subscription) startSending() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended {
		x.senders.Add(1)
	}
	return !x.ended
}

// closeOut closes out once nobody sends.
func (x *subscription) closeOut() {
	x.mu.Lock()
	x.ended = true
	x.mu.Unlock()
	x.senders.Wait()
	close(x.out)
}

func acquire(ctx context.Context, slots chan<- struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
