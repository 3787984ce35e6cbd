package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// fixture is what one check works with. Its methods fail the test on errors.
type fixture struct {
	*testing.T
	factory Factory
	clock   *Clock
	store   store.Store
}

func newFixture(t *testing.T, f Factory) *fixture {
	x := &fixture{T: t, factory: f, clock: NewClock(time.Time{})}
	x.store = f.Open(t, x.clock.Options())
	t.Cleanup(func() { require.NoError(t, x.store.Close()) })
	return x
}

// reopen closes the store and opens it again, or skips the test.
func (x *fixture) reopen() {
	x.Helper()
	if x.factory.Reopen == nil {
		x.Skip("data does not survive this store")
	}
	x.store = x.factory.Reopen(x, x.store, x.clock.Options())
}

// handles returns two handles on the database, or the same one twice.
func (x *fixture) handles() [2]store.Store {
	x.Helper()
	if x.factory.Share == nil {
		return [2]store.Store{x.store, x.store}
	}
	other := x.factory.Share(x, x.store, x.clock.Options())
	x.Cleanup(func() { require.NoError(x, other.Close()) })
	return [2]store.Store{x.store, other}
}

// change commits what build makes of the snapshot.
func (x *fixture) change(keys store.Keys, build store.Decide) {
	x.Helper()
	require.NoError(x, x.store.Commit(x.Context(), keys, build))
}

// write commits c as it is: its keys are not new.
func (x *fixture) write(c *store.Changes) {
	x.Helper()
	x.change(store.Keys{}, func(*store.Snapshot) *store.Changes { return c })
}

// read returns what keys name.
func (x *fixture) read(keys store.Keys) *store.Snapshot {
	x.Helper()
	return readFrom(x.T, x.store, keys)
}

func readFrom(t testing.TB, s store.Store, keys store.Keys) *store.Snapshot {
	t.Helper()
	var snap *store.Snapshot
	require.NoError(t, s.Commit(context.Background(), keys, func(read *store.Snapshot) *store.Changes {
		snap = read
		return &store.Changes{}
	}))
	require.NotNil(t, snap, "decide was not called")
	return snap
}

// insert gives the messages new numbers and commits them.
func (x *fixture) insert(messages ...*store.Message) []int64 {
	x.Helper()
	seqs := make([]int64, len(messages))
	x.change(store.Keys{}, func(s *store.Snapshot) *store.Changes {
		for i, m := range messages {
			seqs[i] = s.NextSeq + int64(i)
			m.Seq = seqs[i]
		}
		return &store.Changes{Seqs: int64(len(messages)), PutMessages: messages}
	})
	return seqs
}

// insertRuns gives the runs new numbers and commits them.
func (x *fixture) insertRuns(runs ...*store.Run) []int64 {
	x.Helper()
	keys := make([]int64, len(runs))
	x.change(store.Keys{}, func(s *store.Snapshot) *store.Changes {
		for i, r := range runs {
			keys[i] = s.NextSeq + int64(i)
			r.Key = keys[i]
		}
		return &store.Changes{Seqs: int64(len(runs)), PutRuns: runs}
	})
	return keys
}

// message returns the stored message, or nil.
func (x *fixture) message(seq int64) *store.Message {
	x.Helper()
	return x.read(store.Keys{Messages: []int64{seq}}).Messages[seq]
}

// run returns the stored run, or nil.
func (x *fixture) run(key int64) *store.Run {
	x.Helper()
	return x.read(store.Keys{Runs: []int64{key}}).Runs[key]
}

// row returns the stored row, or nil.
func (x *fixture) row(key store.RowKey) *store.Row {
	x.Helper()
	return x.read(store.Keys{Rows: []store.RowKey{key}}).Rows[key]
}

// putRow commits one row.
func (x *fixture) putRow(key store.RowKey, body string) {
	x.Helper()
	x.write(&store.Changes{PutRows: []*store.Row{{RowKey: key, Body: []byte(body)}}})
}

// worker registers a worker with a lease of a minute.
func (x *fixture) worker() int64 {
	x.Helper()
	b, err := x.store.Beat(x.Context(), store.Beat{Worker: store.Worker{Host: "h", PID: 1}, Lease: time.Minute})
	require.NoError(x, err)
	require.NotZero(x, b.Key)
	return b.Key
}

func (x *fixture) grab(g store.Grab) store.Grabbed {
	x.Helper()
	got, err := x.store.Grab(x.Context(), g)
	require.NoError(x, err)
	return got
}

// take grabs from the topics "q" and returns the seqs in the given order.
func (x *fixture) take(worker int64, limit int) []int64 {
	x.Helper()
	return seqsOf(x.grab(store.Grab{Worker: worker, Topics: []string{"q"}, Limit: limit}).Messages)
}

func (x *fixture) reap(r store.Reap) store.Reaped {
	x.Helper()
	got, err := x.store.Reap(x.Context(), r)
	require.NoError(x, err)
	return got
}

func (x *fixture) find(q store.Query) store.Found {
	x.Helper()
	f, err := x.store.Find(x.Context(), q)
	require.NoError(x, err)
	return f
}

// queued returns a free message of topic "q" that is due at once.
func queued() *store.Message { return &store.Message{Topic: "q", ID: "id", Payload: []byte("p")} }

// many returns n messages like queued.
func many(n int) []*store.Message {
	list := make([]*store.Message, n)
	for i := range list {
		list[i] = queued()
	}
	return list
}

func seqsOf(messages []*store.Message) []int64 {
	seqs := []int64{}
	for _, m := range messages {
		seqs = append(seqs, m.Seq)
	}
	return seqs
}

func keysOf(runs []*store.Run) []int64 {
	keys := []int64{}
	for _, r := range runs {
		keys = append(keys, r.Key)
	}
	return keys
}

// namesOf writes the rows' keys as "owner/name".
func namesOf(rows []*store.Row) []string {
	names := []string{}
	for _, r := range rows {
		names = append(names, r.Owner+"/"+r.Name)
	}
	return names
}
