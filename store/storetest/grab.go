package storetest

import (
	"bytes"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var grabChecks = []check{
	{"higher priority first, then older first", grabOrder},
	{"order holds across topics", grabOrderAcrossTopics},
	{"no more than the limit", grabLimit},
	{"about as many bytes as asked for, but at least one message", grabBytes},
	{"only the topics asked for", grabTopics},
	{"what is held is not grabbed", grabSkipsHeld},
	{"what is grabbed is held by the worker", grabHolds},
	{"a message given up is grabbed again", grabAgain},
	{"an updated message is grabbed by its new columns", grabAfterUpdate},
	{"messages given out belong to the caller", grabGivesCopies},
	{"claims take free and due messages by seq, of any topic", claimBySeq},
	{"claims keep to order and limit", claimOrder},
	{"claims take what was published before it is due, grabs don't", claimPublished},
	{"stopped and missing runs are named", grabStoppedRuns},
	{"without a live worker ErrLeaseLost", grabWithoutWorker},
}

// J2
func grabOrder(x *fixture) {
	w := x.worker()
	var messages []*store.Message
	for _, p := range []int16{0, 5, -5, 0, 5, 32767, -32768, 0} {
		m := queued()
		m.Priority = p
		messages = append(messages, m)
	}
	s := x.insert(messages...)
	require.Equal(x, []int64{s[5], s[1], s[4], s[0]}, x.take(w, 4))
	require.Equal(x, []int64{s[3], s[7], s[2], s[6]}, x.take(w, 10))
}

// J2
func grabOrderAcrossTopics(x *fixture) {
	w := x.worker()
	var messages []*store.Message
	for i := range 9 {
		messages = append(messages, &store.Message{Topic: []string{"a", "b", "c"}[i%3], Priority: int16(i / 6)})
	}
	s := x.insert(messages...)
	got := x.grab(store.Grab{Worker: w, Topics: []string{"c", "a", "b"}, Limit: 7})
	require.Equal(x, []int64{s[6], s[7], s[8], s[0], s[1], s[2], s[3]}, seqsOf(got.Messages))
	require.True(x, got.More)
}

func grabLimit(x *fixture) {
	w := x.worker()
	s := x.insert(many(5)...)
	got := x.grab(store.Grab{Worker: w, Topics: []string{"q"}, Limit: 3})
	require.Equal(x, s[:3], seqsOf(got.Messages))
	require.True(x, got.More, "two are left")
	got = x.grab(store.Grab{Worker: w, Topics: []string{"q"}, Limit: 3})
	require.Equal(x, s[3:], seqsOf(got.Messages))
	require.False(x, got.More)
	got = x.grab(store.Grab{Worker: w, Topics: []string{"q"}, Limit: 3})
	require.Empty(x, got.Messages)
	require.False(x, got.More)
}

func grabBytes(x *fixture) {
	w := x.worker()
	messages := many(6)
	for _, m := range messages {
		m.Payload = bytes.Repeat([]byte("x"), 10_000)
	}
	s := x.insert(messages...)
	got := x.grab(store.Grab{Worker: w, Topics: []string{"q"}, Limit: 10, Bytes: 25_000})
	require.GreaterOrEqual(x, len(got.Messages), 2)
	require.LessOrEqual(x, len(got.Messages), 3)
	require.True(x, got.More)
	left := s[len(got.Messages):]

	got = x.grab(store.Grab{Worker: w, Topics: []string{"q"}, Limit: 10, Bytes: 1})
	require.Equal(x, left[:1], seqsOf(got.Messages))
	require.True(x, got.More)
	require.Equal(x, left[1:], x.take(w, 10), "no limit of bytes")
}

func grabTopics(x *fixture) {
	w := x.worker()
	s := x.insert(&store.Message{Topic: "a"}, &store.Message{Topic: "b"}, &store.Message{Topic: "ab"}, &store.Message{Topic: ""})
	got := x.grab(store.Grab{Worker: w, Topics: []string{"b", "none", "b"}, Limit: 10})
	require.Equal(x, s[1:2], seqsOf(got.Messages))
	require.Empty(x, x.grab(store.Grab{Worker: w, Limit: 10}).Messages, "no topic, no message")
}

// M3
func grabSkipsHeld(x *fixture) {
	w, other := x.worker(), x.worker()
	held := queued()
	held.Worker = other
	s := x.insert(held, queued())
	require.Equal(x, s[1:], x.take(w, 10))
	require.Empty(x, x.take(other, 10))
	require.Empty(x, x.grab(store.Grab{Worker: w, Seqs: s, Limit: 10}).Messages)
}

func grabHolds(x *fixture) {
	w := x.worker()
	seq := x.insert(fullMessage())[0]
	got := x.grab(store.Grab{Worker: w, Topics: []string{"q"}, Limit: 1})
	require.Equal(x, x.clock.Instant(), got.Now)
	require.Equal(x, w, got.Messages[0].Worker)
	want := fullMessage()
	want.Seq, want.Worker = seq, w
	requireMessage(x, want, got.Messages[0])
	requireMessage(x, want, x.message(seq))
	require.Equal(x, store.Hold{Exists: true, Worker: w}, x.read(store.Keys{Holds: []int64{seq}}).Holds[seq])
	free := store.Free{Run: want.Run, Limit: 1}
	require.Empty(x, x.read(store.Keys{Free: []store.Free{free}}).Free[free])
}

func grabAgain(x *fixture) {
	w, other := x.worker(), x.worker()
	seq := x.insert(queued())[0]
	require.Equal(x, []int64{seq}, x.take(w, 1))
	m := *x.message(seq)
	m.Worker, m.Attempt = 0, 1
	x.write(&store.Changes{PutMessages: []*store.Message{&m}})
	got := x.grab(store.Grab{Worker: other, Topics: []string{"q"}, Limit: 1}).Messages
	require.Equal(x, []int64{seq}, seqsOf(got))
	require.Equal(x, 1, got[0].Attempt)
}

func grabAfterUpdate(x *fixture) {
	w := x.worker()
	s := x.insert(many(3)...)
	urgent, moved := queued(), queued()
	urgent.Seq, urgent.Priority = s[2], 9
	moved.Seq, moved.Topic = s[0], "elsewhere"
	x.write(&store.Changes{PutMessages: []*store.Message{urgent, moved}})
	require.Equal(x, []int64{s[2], s[1]}, x.take(w, 10))
}

func grabGivesCopies(x *fixture) {
	w := x.worker()
	seq := x.insert(queued())[0]
	got := x.grab(store.Grab{Worker: w, Topics: []string{"q"}, Limit: 1}).Messages[0]
	got.Attempt, got.Worker, got.Topic = 99, 0, "spoiled"
	found := x.find(store.Query{Messages: &store.MessageQuery{}}).Messages[0]
	found.Attempt = 98
	m := x.message(seq)
	require.Zero(x, m.Attempt)
	require.Equal(x, w, m.Worker)
	require.Equal(x, "q", m.Topic)
}

func claimBySeq(x *fixture) {
	w, other := x.worker(), x.worker()
	held, later, parked := queued(), queued(), queued()
	held.Worker = other
	later.Due = x.clock.Instant() + 1
	parked.Due = store.Never
	s := x.insert(queued(), held, later, parked, &store.Message{Topic: "other"}, queued())
	asked := []int64{s[4], s[3], s[2], s[1], s[0], s[0], s[5] + 1000}
	got := x.grab(store.Grab{Worker: w, Seqs: asked, Limit: len(asked)})
	require.Equal(x, []int64{s[0], s[4]}, seqsOf(got.Messages))
	require.False(x, got.More)
	require.Equal(x, w, x.message(s[4]).Worker)
	require.Equal(x, other, x.message(s[1]).Worker)
	require.Zero(x, x.message(s[2]).Worker)
	require.Empty(x, x.grab(store.Grab{Worker: w, Seqs: asked, Limit: len(asked)}).Messages)
	require.Equal(x, s[5:], x.take(w, 10), "what was not asked for")
}

// M11
func claimPublished(x *fixture) {
	w := x.worker()
	published, later := queued(), queued()
	published.Due, published.Published = x.clock.Instant()+1000, 2
	later.Due = published.Due
	s := x.insert(published, later)
	got := x.grab(store.Grab{Worker: w, Topics: []string{"q"}, Limit: 10})
	require.Empty(x, got.Messages)
	require.Equal(x, published.Due, got.Next)
	got = x.grab(store.Grab{Worker: w, Seqs: s, Limit: 10})
	require.Equal(x, s[:1], seqsOf(got.Messages))
	require.Equal(x, 2, got.Messages[0].Published)
	require.Empty(x, x.grab(store.Grab{Worker: w, Seqs: s, Limit: 10}).Messages)

	x.clock.Advance(time.Millisecond)
	require.Equal(x, s[1:], x.take(w, 10))
}

func claimOrder(x *fixture) {
	w := x.worker()
	messages := many(5)
	messages[3].Priority = 4
	s := x.insert(messages...)
	got := x.grab(store.Grab{Worker: w, Seqs: []int64{s[4], s[3], s[2], s[1], s[0]}, Limit: 3})
	require.Equal(x, []int64{s[3], s[0], s[1]}, seqsOf(got.Messages))
}

func grabStoppedRuns(x *fixture) {
	w := x.worker()
	var runs []*store.Run
	for i, status := range []store.Status{store.Running, store.Stalled, store.Failing, store.Finished, store.Failed, store.Cancelled} {
		runs = append(runs, &store.Run{ID: label(i), Status: status})
	}
	keys := x.insertRuns(runs...)
	missing := keys[5] + 1000
	var messages []*store.Message
	for _, run := range append(keys, missing, 0) {
		m := queued()
		m.Run = run
		messages = append(messages, m)
	}
	s := x.insert(messages...)
	got := x.grab(store.Grab{Worker: w, Topics: []string{"q"}, Limit: 4})
	require.Len(x, got.Messages, 4)
	for i, run := range keys[:4] {
		require.Equal(x, runs[i].Status.Stopped(), got.Stopped[run], runs[i].Status)
	}
	got = x.grab(store.Grab{Worker: w, Seqs: s, Limit: len(s)})
	require.Len(x, got.Messages, 4)
	for _, run := range []int64{keys[4], keys[5], missing} {
		require.True(x, got.Stopped[run])
	}
	require.False(x, got.Stopped[0], "no run is none that has stopped")
}

// M5
func grabWithoutWorker(x *fixture) {
	w := x.worker()
	seq := x.insert(queued())[0]
	x.reap(store.Reap{Workers: []int64{w}})
	for _, worker := range []int64{w, 0, w + 1000} {
		_, err := x.store.Grab(x.Context(), store.Grab{Worker: worker, Topics: []string{"q"}, Limit: 1})
		require.ErrorIs(x, err, store.ErrLeaseLost)
		_, err = x.store.Grab(x.Context(), store.Grab{Worker: worker, Seqs: []int64{seq}, Limit: 1})
		require.ErrorIs(x, err, store.ErrLeaseLost)
	}
	require.Zero(x, x.message(seq).Worker)
}
