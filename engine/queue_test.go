package engine

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// rig is queues with a worker that can be changed, and what they asked for.
type rig struct {
	*queues
	held   int64
	hungry int
	stray  int
}

func newRig(hold, holdBytes int) *rig {
	r := &rig{held: 1}
	r.queues = newQueues(hold, holdBytes, func() int64 { return r.held }, func() { r.hungry++ }, func() { r.stray++ })
	r.host(store.Internal, 1<<30)
	return r
}

// add pushes messages that the worker holds.
func (r *rig) add(ms ...*store.Message) {
	for _, m := range ms {
		m.Worker = r.held
	}
	r.push(ms, verbOf)
}

// poll takes what next would give at once.
func (r *rig) poll(topic string, most int) []*store.Message {
	var out []*store.Message
	for _, it := range r.tryNext(r.topics[topic], topic, most) {
		out = append(out, it.m)
	}
	return out
}

func msg(seq int64, topic string) *store.Message { return &store.Message{Seq: seq, Topic: topic} }

func seqs(ms []*store.Message) []int64 {
	out := []int64{}
	for _, m := range ms {
		out = append(out, m.Seq)
	}
	return out
}

// J2: higher priority first; within one priority, first come, first served.
func TestQueueOrder(t *testing.T) {
	r := newRig(10, 1<<20)
	r.host("a", 100)
	for seq, priority := range []int16{0, 5, 0, -1, 5} {
		m := msg(int64(seq), "a")
		m.Priority = priority
		r.add(m)
	}
	require.Equal(t, []int64{1, 4, 0, 2, 3}, seqs(r.poll("a", 10)))
}

func TestQueueLimitsWhatRuns(t *testing.T) {
	r := newRig(10, 1<<20)
	r.host("a", 2)
	ms := []*store.Message{msg(1, "a"), msg(2, "a"), msg(3, "a"), msg(4, "a")}
	r.add(ms...)
	require.Len(t, r.poll("a", 10), 2)
	require.Empty(t, r.poll("a", 10))
	r.host("a", 1) // another subscription adds to it
	require.Len(t, r.poll("a", 10), 1)
	r.unhost("a", 1)
	r.done(ms[0])
	require.Empty(t, r.poll("a", 10), "two run still")
	r.done(ms[1])
	require.Len(t, r.poll("a", 10), 1)
}

// L6: what is born held leaves a quarter of the room to what is grabbed.
func TestQueueRoom(t *testing.T) {
	r := newRig(8, 1<<20)
	r.host("a", 100)
	room := func(born bool) int { return r.room(born)["a"] }
	require.Equal(t, 6, room(true))
	require.Equal(t, 8, room(false))
	for i := range int64(6) {
		r.add(msg(i, "a"))
	}
	require.Equal(t, 0, room(true))
	require.Equal(t, 2, room(false))
	r.close()
	require.Nil(t, r.room(true))
	require.Nil(t, r.room(false))
}

// L6
func TestQueueBytesAreBounded(t *testing.T) {
	r := newRig(100, 10_000)
	r.host("a", 100)
	big := msg(1, "a")
	big.Payload = make([]byte, 20_000)
	r.add(big)
	require.Zero(t, r.room(false)["a"])
	require.Len(t, r.poll("a", 1), 1)
	require.Equal(t, 1, r.hungry, "the grabber is told that there is room again")
	require.Equal(t, 100, r.room(false)["a"])
}

func TestStarvedQueueAsksOnceItIsHalfEmpty(t *testing.T) {
	r := newRig(4, 1<<20)
	r.host("a", 100)
	for i := range int64(4) {
		r.add(msg(i, "a"))
	}
	require.Zero(t, r.room(false)["a"])
	r.poll("a", 1)
	require.Zero(t, r.hungry)
	r.poll("a", 1)
	require.Equal(t, 1, r.hungry)
	r.poll("a", 1)
	require.Equal(t, 1, r.hungry, "once is enough")
}

// N1: a queue whose messages are all of a stopped run asks for others.
func TestStarvedQueueAsksWhenItsRunIsStopped(t *testing.T) {
	r := newRig(2, 1<<20)
	r.host("a", 100)
	for i := range int64(2) {
		m := msg(i, "a")
		m.Run = 7
		r.add(m)
	}
	require.Zero(t, r.room(false)["a"])
	r.dropRuns([]int64{7})
	require.Equal(t, 1, r.hungry)
}

// N1, C1
func TestStoppedRunsAreDropped(t *testing.T) {
	r := newRig(10, 1<<20)
	r.host("a", 100)
	of := func(seq, run int64, undo int) *store.Message {
		return &store.Message{Seq: seq, Topic: "a", Run: run, Undo: undo}
	}
	r.add(of(1, 7, 0), of(2, 8, 0), of(3, 7, 1), of(4, 7, 0))
	r.dropRuns(nil)
	r.dropRuns([]int64{7, 9})
	dropped := r.tryNext(r.topics[store.Internal], store.Internal, 10)
	require.Len(t, dropped, 2)
	for _, it := range dropped {
		require.Equal(t, step.Drop, it.verb)
		require.Contains(t, []int64{1, 4}, it.m.Seq)
	}
	require.Equal(t, []int64{2, 3}, seqs(r.poll("a", 10)), "undos and other runs stay")
}

// A message that is handed over again while it is being carried out waits
// until that has ended.
//
// M3
func TestHandOverWhileRunning(t *testing.T) {
	r := newRig(10, 1<<20)
	r.host("a", 100)
	m := msg(1, "a")
	r.add(m, m)
	require.Len(t, r.poll("a", 10), 1, "it is there once")
	again := *m
	again.Attempt = 1
	r.add(&again)
	require.Empty(t, r.poll("a", 10))
	r.done(m)
	next := r.poll("a", 10)
	require.Len(t, next, 1)
	require.Equal(t, 1, next[0].Attempt)
	r.done(&again)
	require.False(t, r.has(1))
}

func TestUnhostedMessagesAreReturned(t *testing.T) {
	r := newRig(10, 1<<20)
	r.host("a", 1)
	r.host("a", 1)
	ms := []*store.Message{msg(1, "a"), msg(2, "a"), msg(3, "a")}
	r.add(ms...)
	require.Len(t, r.poll("a", 1), 1)
	require.Empty(t, r.unhost("a", 1), "it is hosted still")
	require.Len(t, r.unhost("a", 1), 2)
	require.True(t, r.has(1), "what runs, runs on")
	require.False(t, r.has(2))
	r.done(ms[0])
	select {
	case <-r.idle():
	default:
		require.Fail(t, "nothing runs any more")
	}
	require.Empty(t, r.unhost("a", 1))
}

// What is held and can't be kept is left to reconciliation, which is told.
func TestStraysAreTold(t *testing.T) {
	r := newRig(10, 1<<20)
	r.add(msg(1, "nowhere"))
	require.Equal(t, 1, r.stray)
	require.False(t, r.has(1))

	r.host("a", 1)
	m := msg(2, "a")
	r.add(m)
	require.Len(t, r.poll("a", 1), 1)
	r.add(m)
	r.unhost("a", 1)
	r.done(m)
	require.Equal(t, 2, r.stray)
	require.False(t, r.has(2), "nobody would ever run it")
}

// M5: what an earlier worker of the process held is nothing to its successor.
func TestEarlierWorkersMessages(t *testing.T) {
	r := newRig(10, 1<<20)
	r.host("a", 100)
	old := msg(1, "a")
	r.add(old, msg(2, "a"))
	require.Len(t, r.poll("a", 1), 1)
	cancelled := false
	require.True(t, r.guard(old, func() { cancelled = true }))
	r.held = 2
	r.forget()
	require.True(t, cancelled)
	require.False(t, r.has(1) || r.has(2))
	require.False(t, r.guard(old, func() {}), "it is not to be begun")

	r.push([]*store.Message{old}, verbOf) // the answer to an earlier commit
	require.False(t, r.has(1))

	anew := msg(1, "a")
	r.add(anew)
	require.Len(t, r.poll("a", 1), 1)
	r.done(old)
	require.True(t, r.has(1), "the end of the old execution is not that of the new one")
	r.done(anew)
	require.False(t, r.has(1))
}

func TestClosedQueuesHandOutInternalMessagesOnly(t *testing.T) {
	r := newRig(10, 1<<20)
	r.host("a", 1)
	tick := msg(2, store.Internal)
	tick.Kind = store.Tick
	r.add(msg(1, "a"), tick)
	r.close()
	require.Empty(t, r.poll("a", 1))
	require.Len(t, r.poll(store.Internal, 1), 1)
	left := r.takeAll()
	require.Len(t, left, 1)
	require.Equal(t, int64(1), left[0].m.Seq)
}

func TestAbandonCancelsWhatRuns(t *testing.T) {
	r := newRig(10, 1<<20)
	r.host("a", 3)
	ms := []*store.Message{msg(1, "a"), msg(2, "a"), msg(3, "a")}
	r.add(ms...)
	r.poll("a", 2)
	idle := r.idle()
	ctx, cancel := context.WithCancel(t.Context())
	r.guard(ms[0], cancel)
	require.Equal(t, 2, r.abandon())
	require.Error(t, ctx.Err())
	r.done(ms[0])
	select {
	case <-idle:
		require.Fail(t, "one runs still")
	default:
	}
	r.done(ms[1])
	<-idle
}

// A message that came from outside counts as running.
func TestAdopted(t *testing.T) {
	r := newRig(10, 1<<20)
	m := msg(1, "a")
	m.Worker = r.held
	r.adopt(m)
	idle := r.idle()
	require.True(t, r.guard(m, func() {}))
	r.done(m)
	<-idle
	require.False(t, r.has(1))
}

func TestNext(t *testing.T) {
	r := newRig(10, 1<<20)
	_, err := r.next(t.Context(), "a")
	require.ErrorContains(t, err, `topic "a" is not hosted`)
	r.host("a", 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.next(ctx, "a")
	require.ErrorIs(t, err, context.Canceled)

	got := make(chan int64)
	for range 2 {
		go func() {
			it, err := r.next(t.Context(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			got <- it.m.Seq
		}()
	}
	r.add(msg(1, "a"), msg(2, "a"))
	require.ElementsMatch(t, []int64{1, 2}, []int64{<-got, <-got}, "one raise wakes all that are needed")
}
