package memory

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

var errClosed = errors.New("memory transport is closed")

// The named brokers with open connections.
var named = struct {
	sync.Mutex
	brokers map[string]*broker
}{brokers: map[string]*broker{}}

// broker is a set of queues.
type broker struct {
	name        string
	connections int // guarded by named

	mu     sync.Mutex
	queues map[string]*queue
}

func newBroker(name string) *broker {
	return &broker{name: name, queues: map[string]*queue{}}
}

func connect(name string) *broker {
	named.Lock()
	defer named.Unlock()
	b := named.brokers[name]
	if b == nil {
		b = newBroker(name)
		named.brokers[name] = b
	}
	b.connections++
	return b
}

func (b *broker) disconnect() {
	named.Lock()
	defer named.Unlock()
	if b.connections--; b.connections == 0 {
		delete(named.brokers, b.name)
	}
}

func (b *broker) queue(topic string) *queue {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[topic]
	if q == nil {
		q = &queue{ready: make(chan struct{}, 1)}
		b.queues[topic] = q
	}
	return q
}

func (b *broker) wipe() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range b.queues {
		q.wipe()
	}
}

// item is a published message.
type item struct {
	uuid     string
	payload  []byte
	metadata message.Metadata
	refused  int // times that it was refused
}

func newItem(msg *message.Message) *item {
	return &item{uuid: msg.UUID, payload: bytes.Clone(msg.Payload), metadata: maps.Clone(msg.Metadata)}
}

// message makes a message for one delivery.
func (it *item) message(ctx context.Context) *message.Message {
	msg := message.NewMessage(it.uuid, bytes.Clone(it.payload))
	maps.Copy(msg.Metadata, it.metadata)
	msg.SetContext(ctx)
	return msg
}

// pause is how long a refused item waits before it comes again: without it, a
// subscriber that refuses everything would spin.
func (it *item) pause() time.Duration {
	it.refused++
	return min(time.Millisecond<<min(it.refused, 10), time.Second)
}

// queue is what waits in a topic.
type queue struct {
	mu    sync.Mutex
	items list.List
	ready chan struct{} // holds a token while items may be there
}

func (q *queue) push(it *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items.PushBack(it)
	q.raise()
}

// pushFront gives back what was not consumed.
func (q *queue) pushFront(it *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items.PushFront(it)
	q.raise()
}

// pop takes the first item, or nil. Who comes after the token is told, if
// there is more.
func (q *queue) pop() *item {
	q.mu.Lock()
	defer q.mu.Unlock()
	head := q.items.Front()
	if head == nil {
		return nil
	}
	q.items.Remove(head)
	if q.items.Len() > 0 {
		q.raise()
	}
	return head.Value.(*item)
}

func (q *queue) raise() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *queue) wipe() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items.Init()
}
