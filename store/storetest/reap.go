package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var reapChecks = []check{
	{"workers are closed when their lease has ended, not before", reapExpired},
	{"nobody is closed unasked", reapNobody},
	{"what a closed worker held is free for others", reapFrees},
	{"what live workers hold is left alone", reapSparesLive},
	{"freeing goes in pieces to the end", reapInPieces},
	{"what is freed keeps its due time", reapKeepsDue},
	{"what is freed and was published is due at once", reapPublished},
}

// M5, T3
func reapExpired(x *fixture) {
	early := x.worker()
	x.clock.Advance(30 * time.Second)
	late := x.worker()
	x.clock.Advance(30 * time.Second)
	require.Empty(x, x.reap(store.Reap{Expired: true}).Closed, "until includes its last instant")
	x.clock.Advance(time.Microsecond)
	got := x.reap(store.Reap{Expired: true})
	require.Equal(x, x.clock.Instant(), got.Now)
	require.Len(x, got.Closed, 1)
	require.Equal(x, early, got.Closed[0].Key)
	require.Equal(x, "h", got.Closed[0].Host)
	require.Empty(x, x.reap(store.Reap{Expired: true}).Closed, "it is closed once")
	require.True(x, x.read(store.Keys{Worker: late}).Alive)
}

func reapNobody(x *fixture) {
	w := x.worker()
	x.clock.Advance(time.Hour)
	require.Empty(x, x.reap(store.Reap{Limit: 10}).Closed)
	require.Empty(x, x.reap(store.Reap{Workers: []int64{w + 1000}}).Closed)
	require.True(x, x.read(store.Keys{Worker: w}).Alive)
}

// M5
func reapFrees(x *fixture) {
	gone, w := x.worker(), x.worker()
	born := queued()
	born.Worker = gone
	s := x.insert(queued(), born)
	require.Equal(x, s[:1], x.take(gone, 10))
	require.Empty(x, x.take(w, 10))

	got := x.reap(store.Reap{Workers: []int64{gone}, Limit: 100})
	require.Len(x, got.Closed, 1)
	require.Equal(x, gone, got.Closed[0].Key)
	require.Equal(x, 2, got.Freed)
	require.Zero(x, got.Next)
	require.Equal(x, s, x.take(w, 10))
}

func reapSparesLive(x *fixture) {
	w := x.worker()
	s := x.insert(many(3)...)
	require.Equal(x, s[:2], x.take(w, 2))
	require.Zero(x, x.reap(store.Reap{Expired: true, Limit: 100}).Freed)
	require.Equal(x, w, x.message(s[0]).Worker)
	require.Zero(x, x.message(s[2]).Worker)
}

// J5, M5: nothing is stranded, whatever the size of the pieces.
func reapInPieces(x *fixture) {
	gone, w := x.worker(), x.worker()
	messages := many(20)
	for i, m := range messages {
		m.Worker = []int64{gone, w, 0, 999_999}[i%4]
	}
	s := x.insert(messages...)
	require.Zero(x, x.reap(store.Reap{Workers: []int64{gone}}).Freed, "it was to look at none")

	freed, after := 0, int64(0)
	for piece := 0; ; piece++ {
		require.Less(x, piece, 8, "20 messages are at most 7 pieces of 3, and one to see the end")
		got := x.reap(store.Reap{After: after, Limit: 3})
		require.LessOrEqual(x, got.Freed, 3)
		freed += got.Freed
		if got.Next == 0 {
			break
		}
		require.Greater(x, got.Next, after)
		after = got.Next
	}
	require.Equal(x, 10, freed)
	for i, seq := range s {
		want := int64(0)
		if i%4 == 1 {
			want = w
		}
		require.Equal(x, want, x.message(seq).Worker)
	}
	require.Zero(x, x.reap(store.Reap{After: s[19], Limit: 3}).Next)
}

// M3: freeing a retry that waits does not run it early.
// M5, M11
func reapPublished(x *fixture) {
	gone, w := x.worker(), x.worker()
	published := x.timer(time.Hour)
	published.Published = 3
	seq := x.insert(published)[0]
	require.Len(x, x.grab(store.Grab{Worker: gone, Seqs: []int64{seq}, Limit: 1}).Messages, 1)
	require.Equal(x, 1, x.reap(store.Reap{Workers: []int64{gone}, Limit: 10}).Freed)
	got := x.grab(store.Grab{Worker: w, Topics: []string{published.Topic}, Limit: 10})
	require.Equal(x, []int64{seq}, seqsOf(got.Messages))
	require.Equal(x, 3, got.Messages[0].Published)
}

func reapKeepsDue(x *fixture) {
	gone, w := x.worker(), x.worker()
	later := x.timer(time.Second * 10)
	later.Worker, later.Priority, later.Run = gone, 3, 5
	seq := x.insert(later)[0]
	require.Equal(x, 1, x.reap(store.Reap{Workers: []int64{gone}, Limit: 10}).Freed)
	later.Worker = 0
	requireMessage(x, later, x.message(seq))
	free := store.Free{Run: 5, Limit: 9}
	require.Len(x, x.read(store.Keys{Free: []store.Free{free}}).Free[free], 1)
	require.Empty(x, x.take(w, 10))
	x.clock.Advance(10 * time.Second)
	require.Equal(x, []int64{seq}, x.take(w, 10))
}
