// Package inflight keeps what a subscription has received until it is
// answered: so many messages at a time, those that are refused again after a
// pause, and none beyond the subscription's end. It is for transports whose
// broker leaves that to the receiver.
package inflight

import (
	"context"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// Flights are the messages of one subscription, each under a key that its
// broker knows it by. One goroutine receives: it calls Room, Begin and Take, and
// in the end Close and Wait. Another runs Answer meanwhile. The rest may be
// called by anybody.
type Flights[K comparable] struct {
	drain   time.Duration
	answers answers[K]
	out     chan *message.Message
	slots   chan struct{} // one for each message in flight
	refused chan struct{} // one for each that waits to come again and takes no slot

	flying  sync.WaitGroup // messages in flight
	senders sync.WaitGroup // who may send on out
	mu      sync.Mutex
	ended   bool // nobody may begin to send on out
	mine    map[K]bool
}

// New returns flights without messages. At most so many are given out and not
// answered at a time; drain is how long they may take once the subscription has
// ended.
func New[K comparable](concurrency int, drain time.Duration) *Flights[K] {
	n := max(concurrency, 1)
	return &Flights[K]{
		drain: drain, answers: answers[K]{signal: make(chan struct{}, 1)}, out: make(chan *message.Message, n), slots: make(chan struct{}, n),
		refused: make(chan struct{}, max(1000, 10*n)), mine: map[K]bool{},
	}
}

// Out is where the messages come out. Close closes it.
func (f *Flights[K]) Out() <-chan *message.Message { return f.out }

// Room waits until a message has room, and returns for how many there is. When
// ctx ends, there is none.
func (f *Flights[K]) Room(ctx context.Context) int {
	if !acquire(ctx, f.slots) {
		return 0
	}
	<-f.slots
	return max(cap(f.slots)-len(f.slots), 1)
}

// Begin notes that a message was received. It reports false for one that was
// received before, and of which the broker does not know yet how it ended.
func (f *Flights[K]) Begin(key K) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mine[key] {
		return false
	}
	f.mine[key] = true
	return true
}

// Knows reports whether a message was received, and the broker does not know
// yet how it ended.
func (f *Flights[K]) Knows(key K) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mine[key]
}

// Known lists such messages.
func (f *Flights[K]) Known() []K {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys := make([]K, 0, len(f.mine))
	for key := range f.mine {
		keys = append(keys, key)
	}
	return keys
}

// forget says that the broker knows how messages ended.
func (f *Flights[K]) forget(keys []K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range keys {
		delete(f.mine, key)
	}
}

// Take gives a message out as soon as it has room, and again when it is
// refused; each time as a new one that newMessage makes. It returns when the
// message is out for the first time, or ctx has ended: then it is given back.
func (f *Flights[K]) Take(ctx context.Context, key K, newMessage func() *message.Message) {
	if !acquire(ctx, f.slots) {
		f.GiveBack(key)
		return
	}
	d, ok := f.deliver(ctx, newMessage)
	if !ok {
		<-f.slots
		f.GiveBack(key)
		return
	}
	f.flying.Go(func() { f.carry(ctx, key, d, newMessage) })
}

// Close closes Out. What nobody has taken from there is given back. It is
// called when the context of all calls of Take has ended.
func (f *Flights[K]) Close() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.senders.Wait()
	for {
		select {
		case msg := <-f.out:
			msg.Nack() // its flight gives it back
		default:
			close(f.out)
			return
		}
	}
}

// Wait waits for the answers to what is in flight, for a bounded time. What
// has none then is given back.
func (f *Flights[K]) Wait() { f.flying.Wait() }

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
