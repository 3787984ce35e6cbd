package storetest

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var concurrentChecks = []check{
	{"50 grabbers, one message: one gets it", fiftyGrabbers},
	{"many grabbers share out many messages", manyGrabbers},
	{"two committers never lose an update", noLostUpdate},
	{"nobody sees half of a commit", noHalfCommit},
	{"numbers are given to one committer only", numbersOnce},
	{"a closed worker commits nothing any more", fenceHolds},
	{"closing a worker strands nothing that it grabs meanwhile", nothingStranded},
}

// together runs n functions at the same time, spread over the handles, and
// returns the first error.
func (x *fixture) together(n int, f func(ctx context.Context, s store.Store, i int) error) {
	x.Helper()
	two := x.handles()
	var all sync.WaitGroup
	errs := make([]error, n)
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			errs[i] = f(x.Context(), two[i%2], i)
		})
	}
	close(start)
	all.Wait()
	for _, err := range errs {
		require.NoError(x, err)
	}
}

// J2
func fiftyGrabbers(x *fixture) {
	workers := make([]int64, 50)
	for i := range workers {
		workers[i] = x.worker()
	}
	seq := x.insert(queued())[0]
	var winner, wins atomic.Int64
	x.together(len(workers), func(ctx context.Context, s store.Store, i int) error {
		g := store.Grab{Worker: workers[i], Topics: []string{"q"}, Limit: 5}
		if i%3 == 0 {
			g = store.Grab{Worker: workers[i], Seqs: []int64{seq}, Limit: 1}
		}
		got, err := s.Grab(ctx, g)
		if len(got.Messages) > 0 {
			wins.Add(1)
			winner.Store(workers[i])
		}
		return err
	})
	require.Equal(x, int64(1), wins.Load())
	require.Equal(x, winner.Load(), x.message(seq).Worker)
}

// J2
func manyGrabbers(x *fixture) {
	workers := []int64{x.worker(), x.worker(), x.worker(), x.worker()}
	seqs := x.insert(many(120)...)
	var mu sync.Mutex
	taken := map[int64]int{}
	x.together(len(workers), func(ctx context.Context, s store.Store, i int) error {
		for {
			got, err := s.Grab(ctx, store.Grab{Worker: workers[i], Topics: []string{"q"}, Limit: 7})
			if err != nil || len(got.Messages) == 0 {
				return err
			}
			mu.Lock()
			for _, m := range got.Messages {
				taken[m.Seq]++
			}
			mu.Unlock()
		}
	})
	require.Len(x, taken, len(seqs))
	for seq, times := range taken {
		require.Equal(x, 1, times, "message %d", seq)
	}
}

// increment adds one to the number in a row.
func increment(ctx context.Context, s store.Store, key store.RowKey) error {
	return s.Commit(ctx, store.Keys{Rows: []store.RowKey{key}}, func(snap *store.Snapshot) *store.Changes {
		n := 0
		if row := snap.Rows[key]; row != nil {
			n, _ = strconv.Atoi(string(row.Body))
		}
		return &store.Changes{PutRows: []*store.Row{{RowKey: key, Body: []byte(strconv.Itoa(n + 1))}}}
	})
}

func noLostUpdate(x *fixture) {
	key := store.RowKey{Kind: store.Counter, Name: "0"}
	x.together(4, func(ctx context.Context, s store.Store, _ int) error {
		for range 25 {
			if err := increment(ctx, s, key); err != nil {
				return err
			}
		}
		return nil
	})
	require.Equal(x, "100", string(x.row(key).Body))
}

// F1, M4: a commit is seen whole or not at all.
func noHalfCommit(x *fixture) {
	keys := []store.RowKey{{Kind: store.Event, Owner: "a", Name: "n"}, {Kind: store.Undo, Owner: "b", Name: "n"}}
	halves := atomic.Int64{}
	writer := func(ctx context.Context, s store.Store) error {
		for i := range 40 {
			body := []byte(strconv.Itoa(i))
			err := s.Commit(ctx, store.Keys{Rows: keys}, func(*store.Snapshot) *store.Changes {
				return &store.Changes{PutRows: []*store.Row{{RowKey: keys[0], Body: body}, {RowKey: keys[1], Body: body}}}
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	reader := func(ctx context.Context, s store.Store) error {
		for range 40 {
			err := s.Commit(ctx, store.Keys{Rows: keys}, func(snap *store.Snapshot) *store.Changes {
				a, b := snap.Rows[keys[0]], snap.Rows[keys[1]]
				if (a == nil) != (b == nil) || a != nil && string(a.Body) != string(b.Body) {
					halves.Add(1)
				}
				return &store.Changes{}
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	x.together(3, func(ctx context.Context, s store.Store, i int) error {
		if i == 0 {
			return writer(ctx, s)
		}
		return reader(ctx, s)
	})
	require.Zero(x, halves.Load())
}

func numbersOnce(x *fixture) {
	x.together(4, func(ctx context.Context, s store.Store, i int) error {
		for range 15 {
			err := s.Commit(ctx, store.Keys{}, func(snap *store.Snapshot) *store.Changes {
				n := snap.NextSeq
				return &store.Changes{Seqs: 2, PutMessages: []*store.Message{
					{Seq: n, Topic: "q", Worker: int64(i + 1)}, {Seq: n + 1, Topic: "q"},
				}}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	f := x.find(store.Query{Messages: &store.MessageQuery{}, Limit: 1000})
	require.Len(x, f.Messages, 4*15*2)
}

// M5
func fenceHolds(x *fixture) {
	w := x.worker()
	key := store.RowKey{Kind: store.Counter, Name: "0"}
	var atClose, atEnd string
	begun := make(chan struct{})
	x.together(2, func(ctx context.Context, s store.Store, i int) error {
		if i == 0 {
			return commitWhileAlive(ctx, s, w, key, begun)
		}
		<-begun
		_, err := s.Reap(ctx, store.Reap{Workers: []int64{w}, Limit: 10})
		if err == nil {
			atClose, err = bodyOf(ctx, s, key)
		}
		return err
	})
	atEnd = string(x.row(key).Body)
	require.Equal(x, atClose, atEnd, "it committed after it was closed")
}

// commitWhileAlive counts up in a row until worker is closed, and closes begun
// after the first time.
func commitWhileAlive(ctx context.Context, s store.Store, worker int64, key store.RowKey, begun chan struct{}) error {
	for n := 1; ; n++ {
		alive := false
		err := s.Commit(ctx, store.Keys{Worker: worker}, func(snap *store.Snapshot) *store.Changes {
			alive = snap.Alive
			if !alive {
				return &store.Changes{}
			}
			return &store.Changes{PutRows: []*store.Row{{RowKey: key, Body: []byte(strconv.Itoa(n))}}}
		})
		if n == 1 {
			close(begun)
		}
		if err != nil || !alive {
			return err
		}
	}
}

func bodyOf(ctx context.Context, s store.Store, key store.RowKey) (body string, err error) {
	err = s.Commit(ctx, store.Keys{Rows: []store.RowKey{key}}, func(snap *store.Snapshot) *store.Changes {
		if row := snap.Rows[key]; row != nil {
			body = string(row.Body)
		}
		return &store.Changes{}
	})
	return body, err
}

// M5: whatever a worker grabs while it is being closed becomes free again.
func nothingStranded(x *fixture) {
	w, other := x.worker(), x.worker()
	seqs := x.insert(many(60)...)
	x.together(2, func(ctx context.Context, s store.Store, i int) error {
		if i == 1 {
			_, err := s.Reap(ctx, store.Reap{Workers: []int64{w}, Limit: 1000})
			return err
		}
		for {
			got, err := s.Grab(ctx, store.Grab{Worker: w, Topics: []string{"q"}, Limit: 2})
			if err != nil && isLeaseLost(err) || err == nil && len(got.Messages) == 0 {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	x.reap(store.Reap{Limit: 1000})
	_, err := x.store.Beat(x.Context(), store.Beat{Worker: store.Worker{Key: other}, Lease: time.Minute})
	require.NoError(x, err)
	require.Equal(x, seqs, x.take(other, 1000))
}
