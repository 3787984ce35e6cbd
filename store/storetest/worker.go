package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var workerChecks = []check{
	{"registering gives a key, a time and a lease", workerRegisters},
	{"leases go by the store's clock, not the worker's", wrongClock},
	{"a beat extends the lease", beatExtends},
	{"a worker whose lease has ended is alive until it is closed", lapsedWorkerBeats},
	{"a closed worker is not alive and its beats are ErrLeaseLost", closedWorker},
	{"keys of workers are not given twice", workerKeys},
	{"all workers are listed", workersListed},
}

func workerRegisters(x *fixture) {
	w := store.Worker{Host: nasty[0], Boot: "boot", PidNS: "ns", PID: 4711, Born: "born"}
	b, err := x.store.Beat(x.Context(), store.Beat{Worker: w, Lease: 30 * time.Second})
	require.NoError(x, err)
	now := x.clock.Instant()
	require.NotEmpty(x, b.Store)
	require.Equal(x, store.Beaten{Key: b.Key, Now: now, Until: now.Add(30 * time.Second), Store: b.Store}, b)
	w.Key, w.Started, w.Until = b.Key, now, b.Until
	require.Equal(x, []store.Worker{w}, x.find(store.Query{Workers: &store.WorkerQuery{}}).Workers) // M5: host and pid
	require.True(x, x.read(store.Keys{Worker: b.Key}).Alive)
	require.False(x, x.read(store.Keys{Worker: b.Key + 1000}).Alive)
}

// T3
func wrongClock(x *fixture) {
	now := x.clock.Instant()
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		w := store.Worker{Host: "h", Started: now.Add(off), Until: now.Add(2 * off)}
		b, err := x.store.Beat(x.Context(), store.Beat{Worker: w, Lease: time.Minute})
		require.NoError(x, err)
		require.Equal(x, now.Add(time.Minute), b.Until)
		w.Key = b.Key
		b, err = x.store.Beat(x.Context(), store.Beat{Worker: w, Lease: time.Minute})
		require.NoError(x, err)
		require.Equal(x, now.Add(time.Minute), b.Until)
	}
	for _, w := range x.find(store.Query{Workers: &store.WorkerQuery{}}).Workers {
		require.Equal(x, now, w.Started)
		require.Equal(x, now.Add(time.Minute), w.Until)
	}
}

func beatExtends(x *fixture) {
	key := x.worker()
	before := x.find(store.Query{Workers: &store.WorkerQuery{}}).Workers[0]
	x.clock.Advance(50 * time.Second)
	b, err := x.store.Beat(x.Context(), store.Beat{Worker: store.Worker{Key: key}, Lease: time.Minute})
	require.NoError(x, err)
	now := x.clock.Instant()
	require.Equal(x, store.Beaten{Key: key, Now: now, Until: now.Add(time.Minute), Store: b.Store}, b)

	after := x.find(store.Query{Workers: &store.WorkerQuery{}}).Workers
	before.Until = b.Until
	require.Equal(x, []store.Worker{before}, after, "nothing but the lease has changed")
	x.clock.Advance(50 * time.Second)
	require.Empty(x, x.reap(store.Reap{Expired: true}).Closed)
}

// M5: an outage longer than the lease closes nobody by itself.
func lapsedWorkerBeats(x *fixture) {
	w := x.worker()
	seq := x.insert(queued())[0]
	x.clock.Advance(time.Hour)
	require.True(x, x.read(store.Keys{Worker: w}).Alive)
	require.Equal(x, []int64{seq}, x.take(w, 1))
	b, err := x.store.Beat(x.Context(), store.Beat{Worker: store.Worker{Key: w}, Lease: time.Minute})
	require.NoError(x, err)
	require.Equal(x, x.clock.Instant().Add(time.Minute), b.Until)
}

// M5
func closedWorker(x *fixture) {
	w, other := x.worker(), x.worker()
	x.reap(store.Reap{Workers: []int64{w}})
	require.False(x, x.read(store.Keys{Worker: w}).Alive)
	require.True(x, x.read(store.Keys{Worker: other}).Alive)
	for range 2 {
		_, err := x.store.Beat(x.Context(), store.Beat{Worker: store.Worker{Key: w}, Lease: time.Minute})
		require.ErrorIs(x, err, store.ErrLeaseLost)
	}
	require.Len(x, x.find(store.Query{Workers: &store.WorkerQuery{}}).Workers, 1)
}

// M5: the rows of a worker that is gone never become a newer worker's.
func workerKeys(x *fixture) {
	last := int64(0)
	for range 3 {
		w := x.worker()
		require.Greater(x, w, last)
		last = w
		x.reap(store.Reap{Workers: []int64{w}})
	}
	x.reopen()
	require.Greater(x, x.worker(), last)
}

func workersListed(x *fixture) {
	want := []int64{x.worker(), x.worker(), x.worker()}
	var got []int64
	for _, w := range x.find(store.Query{Workers: &store.WorkerQuery{}}).Workers {
		got = append(got, w.Key)
	}
	require.ElementsMatch(x, want, got)
}
