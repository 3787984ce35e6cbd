package engine

import (
	"container/heap"
	"context"
	"fmt"
	"sync"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// item is a held message and what is to be done with it: Done for a handler,
// or what the engine carries out itself.
type item struct {
	m     *store.Message
	verb  step.Verb
	order int64
}

// queues are the held messages in memory, by topic: higher priority first,
// then in the order in which they came.
type queues struct {
	hold      int
	holdBytes int
	hungry    func()       // called when a queue that was short of room has room again
	stray     func()       // called when a message is held here that nobody here hosts
	worker    func() int64 // key of the live worker: what another one holds is not taken in

	mu      sync.Mutex
	topics  map[string]*queue
	inside  map[int64]*resident // by seq: every message in memory
	order   int64
	running int
	closed  bool
	idlers  []chan struct{}
}

// resident is a message in memory.
type resident struct {
	m      *store.Message
	queue  *queue    // that it runs for; nil while it waits
	next   *item     // handed over once more while it was being carried out
	heir   *resident // adopted before this one, which has ended in the store, was done
	cancel context.CancelFunc
}

type queue struct {
	items   itemHeap
	bytes   int
	ready   *signal
	starved bool // the grabber found no room
	away    bool // for the relay: few are held, and none is born so
	blocked bool // a claim waits for room
	space   *signal
	hosts   int // how many have asked to host the topic
	limit   int // most messages that run at once
	running int
}

func newQueues(hold, holdBytes int, worker func() int64, hungry, stray func()) *queues {
	return &queues{
		hold: hold, holdBytes: holdBytes, worker: worker, hungry: hungry, stray: stray,
		topics: map[string]*queue{}, inside: map[int64]*resident{},
	}
}

// host takes a topic in, or raises how many of its messages run at once.
func (q *queues) host(topic string, limit int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.open(topic)
	t.away = false
	t.hosts++
	t.limit += limit
	if len(t.items) > 0 {
		t.ready.raise()
	}
}

func (q *queues) open(topic string) *queue {
	t := q.topics[topic]
	if t == nil {
		t = &queue{ready: newSignal(), space: newSignal()}
		q.topics[topic] = t
	}
	return t
}

// awayHold is how many messages wait in memory to be published.
const awayHold = 64

// hostAway takes in a topic of the relay's, unless handlers host it.
func (q *queues) hostAway(topic string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.topics[topic] != nil {
		return
	}
	t := q.open(topic)
	t.away, t.hosts, t.limit = true, 1, awayHold
}

// awaitRoom blocks until a topic has room for a claim.
func (q *queues) awaitRoom(ctx context.Context, topic string) error {
	for {
		t, ok := q.roomy(topic)
		if t == nil {
			return fmt.Errorf("engine: topic %q is not hosted", topic)
		}
		if ok {
			return ctx.Err()
		}
		select {
		case <-t.space.raised():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (q *queues) roomy(topic string) (t *queue, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t = q.topics[topic]; t == nil {
		return nil, false
	}
	t.blocked = len(t.items) >= q.hold || t.bytes >= q.holdBytes
	return t, !t.blocked
}

// unhost takes back one host, and returns what nobody here hosts any more.
func (q *queues) unhost(topic string, limit int) []*item {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.topics[topic]
	if t == nil {
		return nil
	}
	t.limit -= limit
	if t.hosts--; t.hosts > 0 {
		return nil
	}
	delete(q.topics, topic)
	for _, it := range t.items {
		delete(q.inside, it.m.Seq)
	}
	out := t.items
	t.items, t.bytes = nil, 0 // nothing for a Next that is still waiting
	return out
}

// room says for how many messages of each topic there is room: for those that
// are born held a quarter is left to those that are grabbed, so that older and
// more urgent work gets its turn.
func (q *queues) room(born bool) map[string]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	room := make(map[string]int, len(q.topics))
	for name, t := range q.topics {
		if t.away {
			continue
		}
		n := q.hold - len(t.items)
		if born {
			n -= q.hold / 4
		}
		if t.bytes >= q.holdBytes {
			n = 0
		}
		if n > 0 {
			room[name] = n
		} else if !born {
			t.starved = true
		}
	}
	return room
}

// roomAway says for how many messages of each of the relay's topics there is
// room, here and in the broker: what can't be published now stays free in the
// store, where its outcome may come, or its run end.
func (q *queues) roomAway(windows func() (rooms map[string]int, others int)) map[string]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	room := map[string]int{}
	for name, t := range q.topics {
		if t.away && !q.closed {
			room[name] = awayHold - len(t.items) - t.running
		}
	}
	if len(room) == 0 {
		return nil
	}
	rooms, others := windows()
	for name, n := range room {
		left, named := rooms[name]
		if !named {
			left = others
		}
		if room[name] = min(n, left-awayHold+n); room[name] <= 0 {
			delete(room, name)
			q.topics[name].starved = true
		}
	}
	return room
}

// isAway reports whether a topic is the relay's.
func (q *queues) isAway(topic string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.topics[topic]
	return t != nil && t.away
}

func (q *queues) hosts(topic string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.topics[topic] != nil
}

// push takes in held messages; those that are in memory already stay as they
// are, and those of a worker that was closed meanwhile are not taken in.
func (q *queues) push(ms []*store.Message, verb func(*store.Message) step.Verb) {
	verbs := make([]step.Verb, len(ms))
	for i, m := range ms {
		verbs[i] = verb(m)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, m := range ms {
		q.pushOne(m, verbs[i])
	}
}

func (q *queues) pushOne(m *store.Message, verb step.Verb) {
	if m.Worker != q.worker() {
		return
	}
	q.order++
	it := &item{m, verb, q.order}
	t := q.topicOf(it)
	if t == nil {
		q.stray() // reconciliation gives it back
		return
	}
	switch r := q.inside[m.Seq]; {
	case r == nil:
		q.inside[m.Seq] = &resident{m: m}
		q.enqueue(t, it)
	case r.queue != nil:
		r.next = it // it is queued when the execution under way has ended
	}
}

func (q *queues) enqueue(t *queue, it *item) {
	heap.Push(&t.items, it)
	t.bytes += it.m.Size()
	t.ready.raise()
}

// next blocks until a message of the topic is there, and hands it out. The
// message counts as running until done.
func (q *queues) next(ctx context.Context, topic string) (*item, error) {
	items, err := q.nextBatch(ctx, topic, 1)
	if err != nil {
		return nil, err
	}
	return items[0], nil
}

func (q *queues) nextBatch(ctx context.Context, topic string, most int) ([]*item, error) {
	q.mu.Lock()
	t := q.topics[topic]
	q.mu.Unlock()
	if t == nil {
		return nil, fmt.Errorf("engine: topic %q is not hosted", topic)
	}
	for {
		if items := q.tryNext(t, topic, most); len(items) > 0 {
			return items, nil
		}
		select {
		case <-t.ready.raised():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (q *queues) tryNext(t *queue, topic string, most int) []*item {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed && topic != store.Internal {
		return nil
	}
	var out []*item
	for len(t.items) > 0 && len(out) < most && t.running < t.limit {
		it := heap.Pop(&t.items).(*item)
		t.bytes -= it.m.Size()
		q.started(q.inside[it.m.Seq], t)
		out = append(out, it)
	}
	if len(t.items) > 0 && t.running < t.limit {
		t.ready.raise()
	}
	q.feed(t)
	return out
}

// feed asks for more once a queue that was short of room is half empty.
func (q *queues) feed(t *queue) {
	if len(t.items) > q.hold/2 {
		return
	}
	if t.starved {
		t.starved = false
		q.hungry()
	}
	if t.blocked {
		t.blocked = false
		t.space.raise()
	}
}

// done takes a message out of memory; one that was handed over once more
// while it was being carried out is queued again. It does nothing when m was
// forgotten: the message may be here anew, held by the worker's successor.
func (q *queues) done(m *store.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.resident(m)
	if r == nil {
		return
	}
	q.stopped(r)
	if r.cancel != nil {
		r.cancel()
	}
	if r.heir != nil {
		r.heir.next = r.next
		q.inside[m.Seq] = r.heir
		return
	}
	if r.next == nil {
		delete(q.inside, m.Seq)
		return
	}
	it := r.next
	t := q.topicOf(it)
	if t == nil {
		delete(q.inside, m.Seq)
		q.stray()
		return
	}
	r.m, r.next, r.cancel = it.m, nil, nil
	q.enqueue(t, it)
}

// park ends the execution of a message that is to stay in memory, and not to
// be run again.
func (q *queues) park(m *store.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.resident(m)
	if r == nil {
		return
	}
	q.stopped(r)
	if r.cancel != nil {
		r.cancel()
	}
}

// resident returns what is in memory of m, as its worker holds it, or nil.
func (q *queues) resident(m *store.Message) *resident {
	if r := q.inside[m.Seq]; r != nil && r.m.Worker == m.Worker {
		return r
	}
	return nil
}

func (q *queues) topicOf(it *item) *queue {
	if it.verb != step.Done {
		return q.topics[store.Internal]
	}
	return q.topics[it.m.Topic]
}

func (q *queues) started(r *resident, t *queue) {
	r.queue = t
	t.running++
	q.running++
}

func (q *queues) stopped(r *resident) {
	if r.queue == nil {
		return
	}
	r.queue.running--
	if len(r.queue.items) > 0 {
		r.queue.ready.raise()
	}
	r.queue = nil
	if q.running--; q.running == 0 {
		q.tellIdle()
	}
}

func (q *queues) tellIdle() {
	for _, ch := range q.idlers {
		close(ch)
	}
	q.idlers = nil
}

// idle returns a channel that is closed once no message runs.
func (q *queues) idle() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	ch := make(chan struct{})
	if q.running == 0 {
		close(ch)
	} else {
		q.idlers = append(q.idlers, ch)
	}
	return ch
}

// guard remembers how to cancel the handler of a running message. It reports
// false when the message was forgotten: no handler is to be entered for it.
func (q *queues) guard(m *store.Message, cancel context.CancelFunc) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.resident(m)
	if r == nil {
		return false
	}
	r.cancel = cancel
	return true
}

// abandon cancels what runs and returns how many that were.
func (q *queues) abandon() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, r := range q.inside {
		if r.queue != nil {
			n++
			if r.cancel != nil {
				r.cancel()
			}
		}
	}
	return n
}

// close ends handing out: what is queued stays queued.
func (q *queues) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// takeAll empties the queues.
func (q *queues) takeAll() []*item {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.empty()
}

func (q *queues) empty() []*item {
	var out []*item
	for _, t := range q.topics {
		out = append(out, t.items...)
		t.items, t.bytes = nil, 0
	}
	for _, it := range out {
		if r := q.inside[it.m.Seq]; r != nil && r.queue == nil {
			delete(q.inside, it.m.Seq)
		}
	}
	return out
}

// forget drops everything, running handlers too: the lease was lost.
func (q *queues) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.empty()
	for seq, r := range q.inside {
		if r.cancel != nil {
			r.cancel()
		}
		q.stopped(r)
		if r.heir != nil {
			q.stopped(r.heir)
		}
		delete(q.inside, seq)
	}
}

// adopt notes a running message that came by another way than next. It reports
// false when its worker was closed meanwhile.
func (q *queues) adopt(m *store.Message) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if m.Worker != q.worker() {
		return false
	}
	r := &resident{m: m}
	q.started(r, &queue{ready: newSignal()})
	if old := q.inside[m.Seq]; old != nil {
		old.heir = r
	} else {
		q.inside[m.Seq] = r
	}
	return true
}

// has reports whether a message is in memory.
func (q *queues) has(seq int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.inside[seq] != nil
}

// dropRuns marks what waits here of runs that were stopped: their messages
// are cancelled instead of handed out.
func (q *queues) dropRuns(runs []int64) {
	if len(runs) == 0 {
		return
	}
	stopped := make(map[int64]bool, len(runs))
	for _, r := range runs {
		stopped[r] = true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	internal := q.topics[store.Internal]
	for _, t := range q.topics {
		if t != internal {
			q.moveTo(internal, t, stopped)
		}
	}
}

func (q *queues) moveTo(internal, t *queue, stopped map[int64]bool) {
	kept := t.items[:0]
	for _, it := range t.items {
		if !stopped[it.m.Run] || it.m.Undo > 0 || it.m.Lent && t.away {
			kept = append(kept, it)
			continue
		}
		t.bytes -= it.m.Size()
		it.verb = step.Drop
		q.enqueue(internal, it)
	}
	if len(kept) == len(t.items) {
		return
	}
	clear(t.items[len(kept):])
	t.items = kept
	heap.Init(&t.items)
	q.feed(t)
}

type itemHeap []*item

func (h itemHeap) Len() int { return len(h) }
func (h itemHeap) Less(i, j int) bool {
	if h[i].m.Priority != h[j].m.Priority {
		return h[i].m.Priority > h[j].m.Priority
	}
	return h[i].order < h[j].order
}
func (h itemHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *itemHeap) Push(x any)   { *h = append(*h, x.(*item)) }
func (h *itemHeap) Pop() any {
	old := *h
	n := len(old) - 1
	it := old[n]
	old[n] = nil
	*h = old[:n]
	return it
}
