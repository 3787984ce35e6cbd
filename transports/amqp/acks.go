package amqp

import (
	"sync"

	"github.com/rabbitmq/amqp091-go"
)

// acks acknowledges the deliveries of one channel. Who comes while another
// writes leaves its acknowledgement to that one, and many become one frame
// where no delivery between them is open.
type acks struct {
	ch *amqp091.Channel

	mu      sync.Mutex
	low     uint64          // this delivery and all before are settled
	settled map[uint64]bool // those after low that are
	pending []uint64
	writing bool
	open    int // deliveries that came and are not settled
}

func newAcks(ch *amqp091.Channel) *acks {
	return &acks{ch: ch, settled: map[uint64]bool{}}
}

// came counts a delivery.
func (a *acks) came() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open++
}

// unsettled returns how many deliveries came and are not settled.
func (a *acks) unsettled() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open
}

// ack acknowledges a delivery. On a channel that is closed that has no effect:
// the message comes again.
func (a *acks) ack(tag uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending = append(a.pending, tag)
	if a.writing {
		return
	}
	a.writing = true
	for len(a.pending) > 0 {
		tags := a.pending
		a.pending = nil
		upTo, single := a.plan(tags)
		a.mu.Unlock()
		a.write(upTo, single)
		a.mu.Lock()
	}
	a.writing = false
}

// giveBack has the server deliver a message again.
func (a *acks) giveBack(tag uint64) {
	_ = a.ch.Nack(tag, false, true) // written before any acknowledgement of what is around it
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settle(tag)
}

func (a *acks) settle(tag uint64) {
	a.open--
	a.settled[tag] = true
	for a.settled[a.low+1] {
		a.low++
		delete(a.settled, a.low)
	}
}

// plan says up to which delivery all can be acknowledged at once, 0 for none,
// and which ones singly.
func (a *acks) plan(tags []uint64) (upTo uint64, single []uint64) {
	for _, tag := range tags {
		a.settle(tag)
	}
	for _, tag := range tags {
		if tag > a.low {
			single = append(single, tag)
		} else {
			upTo = max(upTo, tag)
		}
	}
	return upTo, single
}

func (a *acks) write(upTo uint64, single []uint64) {
	if upTo > 0 {
		_ = a.ch.Ack(upTo, true)
	}
	for _, tag := range single {
		_ = a.ch.Ack(tag, false)
	}
}
