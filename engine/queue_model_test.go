package engine

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-go/millrace/store"
)

// entry is what the model knows of a message in memory.
type entry struct {
	m     *store.Message
	topic string // where it waits or runs
	order int
	gen   int // of the topic's queue that it runs for
	again int // order of the hand-over while it runs; 0: none
}

// queueModel is the queues as one would write them without a care for speed.
type queueModel struct {
	*rig
	seq, order int
	limits     map[string][]int // of the hosts
	gens       map[string]int
	waiting    map[int64]*entry
	running    map[int64]*entry
	lost       []*store.Message // of executions that a lost lease has cut short
	strays     int
}

func newQueueModel() *queueModel {
	return &queueModel{
		rig: newRig(4, 1<<20), limits: map[string][]int{}, gens: map[string]int{},
		waiting: map[int64]*entry{}, running: map[int64]*entry{},
	}
}

var modelTopics = rapid.SampledFrom([]string{"a", "b"})

func (q *queueModel) hosted(topic string) bool {
	return topic == store.Internal || len(q.limits[topic]) > 0
}

func (q *queueModel) host(t *rapid.T) {
	topic, limit := modelTopics.Draw(t, "topic"), rapid.IntRange(1, 2).Draw(t, "limit")
	if !q.hosted(topic) {
		q.gens[topic]++
	}
	q.limits[topic] = append(q.limits[topic], limit)
	q.rig.host(topic, limit)
}

func (q *queueModel) unhost(t *rapid.T) {
	topic := modelTopics.Draw(t, "topic")
	if !q.hosted(topic) {
		t.Skip("not hosted")
	}
	limit := q.limits[topic][0]
	q.limits[topic] = q.limits[topic][1:]
	want := map[int64]bool{}
	if !q.hosted(topic) {
		for seq, e := range q.waiting {
			if e.topic == topic {
				want[seq] = true
				delete(q.waiting, seq)
			}
		}
	}
	got := map[int64]bool{}
	for _, it := range q.rig.unhost(topic, limit) {
		got[it.m.Seq] = true
	}
	if !maps.Equal(got, want) {
		t.Fatalf("unhost returned %v, want %v", got, want)
	}
}

func (q *queueModel) push(t *rapid.T) {
	topic := modelTopics.Draw(t, "topic")
	for range rapid.IntRange(1, 4).Draw(t, "n") {
		q.seq++
		q.take(&store.Message{
			Seq: int64(q.seq), Topic: topic, Worker: q.held,
			Priority: int16(rapid.IntRange(0, 1).Draw(t, "priority")), Run: rapid.Int64Range(1, 5).Draw(t, "run"),
		})
	}
}

// again hands over a message that is in memory already.
func (q *queueModel) again(t *rapid.T) {
	all := slices.Concat(sorted(q.waiting), sorted(q.running))
	if len(all) == 0 {
		t.Skip("none is there")
	}
	m := *rapid.SampledFrom(all).Draw(t, "message").m
	q.take(&m)
}

func (q *queueModel) take(m *store.Message) {
	q.order++
	q.rig.push([]*store.Message{m}, verbOf)
	switch running := q.running[m.Seq]; {
	case !q.hosted(m.Topic):
		q.strays++
	case running != nil:
		running.again = q.order
	case q.waiting[m.Seq] == nil:
		q.waiting[m.Seq] = &entry{m: m, topic: m.Topic, order: q.order}
	}
}

// next does what a caller of next does: it looks when it comes, and when the
// token is there.
func (q *queueModel) next(t *rapid.T) {
	topic := rapid.SampledFrom([]string{"a", "b", store.Internal}).Draw(t, "topic")
	if !q.hosted(topic) {
		t.Skip("not hosted")
	}
	queue := q.topics[topic]
	if rapid.Bool().Draw(t, "woken") {
		select {
		case <-queue.ready.raised():
		default:
			t.Skip("nobody is woken")
		}
	}
	most := rapid.IntRange(1, 3).Draw(t, "most")
	for _, it := range q.tryNext(queue, topic, most) {
		want := q.best(topic)
		if want == nil || want.m.Seq != it.m.Seq || q.runs(topic) >= q.limit(topic) {
			t.Fatalf("got %d, want %+v", it.m.Seq, want)
		}
		delete(q.waiting, it.m.Seq)
		want.gen = q.gens[topic]
		q.running[it.m.Seq] = want
	}
}

// best is the waiting message that is to be handed out first.
func (q *queueModel) best(topic string) (best *entry) {
	for _, e := range q.waiting {
		if e.topic != topic {
			continue
		}
		if best == nil || e.m.Priority > best.m.Priority || e.m.Priority == best.m.Priority && e.order < best.order {
			best = e
		}
	}
	return best
}

func (q *queueModel) runs(topic string) (n int) {
	for _, e := range q.running {
		if e.topic == topic && e.gen == q.gens[topic] {
			n++
		}
	}
	return n
}

func (q *queueModel) limit(topic string) (n int) {
	if topic == store.Internal {
		return 1 << 30
	}
	for _, l := range q.limits[topic] {
		n += l
	}
	return n
}

func (q *queueModel) end(t *rapid.T) {
	if len(q.running) == 0 {
		t.Skip("nothing runs")
	}
	e := rapid.SampledFrom(sorted(q.running)).Draw(t, "message")
	q.done(e.m)
	delete(q.running, e.m.Seq)
	switch {
	case e.again == 0:
	case !q.hosted(e.m.Topic):
		q.strays++
	default:
		q.waiting[e.m.Seq] = &entry{m: e.m, topic: e.m.Topic, order: e.again}
	}
}

func (q *queueModel) drop(t *rapid.T) {
	run := rapid.Int64Range(1, 5).Draw(t, "run")
	q.dropRuns([]int64{run})
	for _, e := range q.waiting {
		if e.m.Run == run {
			e.topic = store.Internal
		}
	}
}

func (q *queueModel) loseLease(t *rapid.T) {
	if rapid.IntRange(1, 5).Draw(t, "luck") > 1 {
		t.Skip("it is renewed")
	}
	for _, e := range sorted(q.running) {
		q.lost = append(q.lost, e.m)
	}
	q.held++
	q.forget()
	clear(q.waiting)
	clear(q.running)
}

// late ends an execution that was cut short; its message may be here anew.
func (q *queueModel) late(t *rapid.T) {
	if len(q.lost) == 0 {
		t.Skip("none was")
	}
	m := rapid.SampledFrom(q.lost).Draw(t, "message")
	if rapid.Bool().Draw(t, "grabbed anew") && q.waiting[m.Seq] == nil && q.running[m.Seq] == nil {
		anew := *m
		anew.Worker = q.held
		q.take(&anew)
	}
	if q.guard(m, func() {}) {
		t.Fatal("it would be begun")
	}
	q.done(m)
}

func sorted(m map[int64]*entry) (out []*entry) {
	for _, seq := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[seq])
	}
	return out
}

// check compares queues and model, and that no wake-up is lost: where
// something can be handed out, somebody will be woken.
func (q *queueModel) check(t *rapid.T) {
	if len(q.inside) != len(q.waiting)+len(q.running) {
		t.Fatalf("%d in memory, want %d waiting and %d running", len(q.inside), len(q.waiting), len(q.running))
	}
	if q.queues.running != len(q.running) || q.stray != q.strays {
		t.Fatalf("%d run, want %d; %d strays, want %d", q.queues.running, len(q.running), q.stray, q.strays)
	}
	for name, queue := range q.topics {
		bytes, n := 0, 0
		for _, e := range q.waiting {
			if e.topic == name {
				n++
				bytes += e.m.Size()
			}
		}
		if len(queue.items) != n || queue.bytes != bytes || queue.running != q.runs(name) || queue.limit != q.limit(name) {
			t.Fatalf("topic %s: %+v, want %d waiting with %d bytes", name, queue, n, bytes)
		}
		if n > 0 && queue.running < queue.limit && len(queue.ready.ch) == 0 {
			t.Fatalf("topic %s: a wake-up is lost", name)
		}
	}
}

// M3, M5
func TestQueuesMatchModel(t *testing.T) {
	for range 10 {
		rapid.Check(t, matchModel)
	}
}

func matchModel(t *rapid.T) {
	q := newQueueModel()
	t.Repeat(map[string]func(*rapid.T){
		"host": q.host, "unhost": q.unhost, "push": q.push, "again": q.again, "next": q.next,
		"next, too": q.next, "end": q.end, "end, too": q.end, "drop": q.drop, "lose lease": q.loseLease,
		"late": q.late, "": q.check,
	})
}
