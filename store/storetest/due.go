package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var dueChecks = []check{
	{"a timer fires at its time, not before", timerFires},
	{"timers keep to priority and age once they are due", timersInOrder},
	{"next says when the first one falls due", nextDue},
	{"what is parked is never due", parked},
	{"a timer can be moved, parked and cancelled", timerMoves},
	{"a held timer does not fire", heldTimer},
	{"nothing fires early when the clock is set back", clockSetBack},
	{"timers survive", timersSurvive},
}

// timer returns a message of topic "q" that is due in d.
func (x *fixture) timer(d time.Duration) *store.Message {
	m := queued()
	m.Due = x.clock.Instant().Add(d)
	return m
}

// T1, T4
func timerFires(x *fixture) {
	w := x.worker()
	s := x.insert(x.timer(time.Second), x.timer(365*24*time.Hour), x.timer(0))
	require.Equal(x, s[2:], x.take(w, 10), "due now")
	x.clock.Advance(time.Second - time.Microsecond)
	require.Empty(x, x.take(w, 10))
	x.clock.Advance(time.Microsecond)
	require.Equal(x, s[:1], x.take(w, 10))
	x.clock.Advance(364 * 24 * time.Hour)
	require.Empty(x, x.take(w, 10))
	x.clock.Advance(24 * time.Hour)
	require.Equal(x, s[1:2], x.take(w, 10))
	require.Empty(x, x.take(w, 10))
}

func timersInOrder(x *fixture) {
	w := x.worker()
	messages := []*store.Message{
		x.timer(3 * time.Second), x.timer(time.Second), x.timer(0), queued(),
		x.timer(2 * time.Second), x.timer(time.Hour),
	}
	messages[4].Priority = 1
	s := x.insert(messages...)
	x.clock.Advance(time.Minute)
	require.Equal(x, []int64{s[4], s[0], s[1], s[2], s[3]}, x.take(w, 10))
}

func nextDue(x *fixture) {
	w := x.worker()
	elsewhere := x.timer(time.Second)
	elsewhere.Topic = "elsewhere"
	held := x.timer(2 * time.Second)
	held.Worker = w
	start := x.clock.Instant()
	s := x.insert(elsewhere, held, x.timer(9*time.Second), x.timer(5*time.Second), queued())

	ask := store.Grab{Worker: w, Topics: []string{"q"}, Limit: 10}
	got := x.grab(ask)
	require.Equal(x, s[4:], seqsOf(got.Messages))
	require.Equal(x, start.Add(5*time.Second), got.Next)
	both := store.Grab{Worker: w, Topics: []string{"q", "elsewhere"}, Limit: 10}
	require.Equal(x, start.Add(time.Second), x.grab(both).Next)

	x.clock.Advance(5 * time.Second)
	got = x.grab(ask)
	require.Equal(x, s[3:4], seqsOf(got.Messages))
	require.Equal(x, start.Add(9*time.Second), got.Next)
	x.clock.Advance(time.Minute)
	require.Zero(x, x.grab(ask).Next)
}

func parked(x *fixture) {
	w := x.worker()
	m := queued()
	m.Due = store.Never
	seq := x.insert(m)[0]
	x.clock.Advance(100 * 365 * 24 * time.Hour)
	got := x.grab(store.Grab{Worker: w, Topics: []string{"q"}, Limit: 10})
	require.Empty(x, got.Messages)
	require.Zero(x, got.Next)
	require.False(x, got.More)
	require.Empty(x, x.grab(store.Grab{Worker: w, Seqs: []int64{seq}, Limit: 1}).Messages)
}

// T2
func timerMoves(x *fixture) {
	w := x.worker()
	s := x.insert(x.timer(time.Hour), x.timer(time.Second), x.timer(time.Second), x.timer(time.Second))
	sooner, later, never := x.timer(time.Second), x.timer(time.Hour), queued()
	sooner.Seq, later.Seq, never.Seq = s[0], s[1], s[2]
	never.Due = store.Never
	x.write(&store.Changes{PutMessages: []*store.Message{sooner, later, never}, DeleteMessages: s[3:]})
	x.clock.Advance(time.Minute)
	require.Equal(x, s[:1], x.take(w, 10))
	x.clock.Advance(time.Hour)
	require.Equal(x, s[1:2], x.take(w, 10))
	woken := queued()
	woken.Seq = s[2]
	x.write(&store.Changes{PutMessages: []*store.Message{woken}})
	require.Equal(x, s[2:3], x.take(w, 10))
}

// M3: a message that waits for its retry is not grabbed early.
func heldTimer(x *fixture) {
	w := x.worker()
	s := x.insert(x.timer(time.Second), x.timer(time.Second))
	x.clock.Advance(2 * time.Second)
	require.Equal(x, s[:1], x.take(w, 1))
	retry := x.timer(time.Minute)
	retry.Seq = s[0]
	delayed := x.timer(time.Hour)
	delayed.Seq = s[1]
	x.write(&store.Changes{PutMessages: []*store.Message{retry, delayed}})
	require.Empty(x, x.take(w, 10))
	x.clock.Advance(time.Minute)
	require.Equal(x, s[:1], x.take(w, 10))
	x.clock.Advance(2 * time.Hour)
	require.Equal(x, s[1:], x.take(w, 10))
}

// T3
func clockSetBack(x *fixture) {
	w := x.worker()
	s := x.insert(x.timer(time.Second), x.timer(time.Second))
	x.clock.Advance(2 * time.Second)
	require.Equal(x, s[:1], x.take(w, 1))
	x.clock.Advance(-time.Hour)
	require.Empty(x, x.take(w, 10))
	require.Empty(x, x.grab(store.Grab{Worker: w, Seqs: s, Limit: 2}).Messages)
	x.clock.Advance(time.Hour)
	require.Equal(x, s[1:], x.take(w, 10))
}

// T1
func timersSurvive(x *fixture) {
	w := x.worker()
	seq := x.insert(x.timer(time.Hour))
	x.reopen()
	require.Empty(x, x.take(w, 10))
	x.clock.Advance(time.Hour)
	x.reopen()
	require.Equal(x, seq, x.take(w, 10))
}
