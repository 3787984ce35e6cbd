package storetest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/memory"
	"github.com/millrace-go/millrace/store/storetest"
)

// A store without a plan passes the suite, so the wrapper changes nothing.
func TestFaultyStorePassesCallsOn(t *testing.T) {
	storetest.Run(t, storetest.Factory{Open: func(_ testing.TB, o store.Options) store.Store {
		return storetest.NewFaulty(memory.New(o), nil)
	}})
}

// put commits a row and says whether it is there afterwards.
func put(t *testing.T, f *storetest.Faulty) (there bool, err error) {
	key := store.RowKey{Kind: store.Lock, Owner: "o"}
	err = f.Commit(t.Context(), store.Keys{}, func(*store.Snapshot) *store.Changes {
		return &store.Changes{PutRows: []*store.Row{{RowKey: key}}}
	})
	found, findErr := f.Unwrap().Find(t.Context(), store.Query{Rows: &store.RowQuery{Kind: store.Lock, Owner: "o"}})
	require.NoError(t, findErr)
	return len(found.Rows) == 1, err
}

func TestFaultsOfCommits(t *testing.T) {
	for _, c := range []struct {
		fault storetest.Fault
		err   error
		there bool
	}{
		{storetest.None, nil, true},
		{storetest.Before, store.ErrUnavailable, false},
		{storetest.After, store.ErrUnknown, true},
		{storetest.Lost, store.ErrUnknown, false},
	} {
		f := storetest.NewFaulty(memory.New(store.Options{}), storetest.Nth(storetest.Commit, 1, c.fault))
		there, err := put(t, f)
		require.ErrorIs(t, err, c.err)
		require.Equal(t, c.there, there)
		there, err = put(t, f)
		require.NoError(t, err, "only the first call fails")
		require.True(t, there)
	}
}

func TestFaultsOfOtherCalls(t *testing.T) {
	f := storetest.NewFaulty(memory.New(store.Options{}), storetest.Always(storetest.After, storetest.Beat))
	b, err := f.Beat(t.Context(), store.Beat{Lease: time.Minute})
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.Zero(t, b, "the answer is lost")
	found, err := f.Find(t.Context(), store.Query{Workers: &store.WorkerQuery{}})
	require.NoError(t, err)
	require.Len(t, found.Workers, 1, "it took effect")

	_, err = f.Beat(t.Context(), store.Beat{Worker: store.Worker{Key: 77}, Lease: time.Minute})
	require.ErrorIs(t, err, store.ErrLeaseLost, "what the store refuses keeps its error")

	f.Plan(storetest.Always(storetest.Before))
	for range 2 {
		_, err = f.Find(t.Context(), store.Query{Workers: &store.WorkerQuery{}})
		require.ErrorIs(t, err, store.ErrUnavailable)
	}
	f.Plan(nil)
	_, err = f.Find(t.Context(), store.Query{Workers: &store.WorkerQuery{}})
	require.NoError(t, err)
	require.Equal(t, 2, f.Calls(storetest.Beat))
	require.Equal(t, 4, f.Calls(storetest.Find))
	require.Equal(t, 6, f.Total())
}

func TestEveryCallCanFail(t *testing.T) {
	work := func(s store.Store) error {
		_, err := s.Beat(context.Background(), store.Beat{Lease: time.Minute})
		if err != nil {
			return err
		}
		_, err = s.Reap(context.Background(), store.Reap{Expired: true})
		return errors.Join(err, s.Close())
	}
	for n := 1; ; n++ {
		f := storetest.NewFaulty(memory.New(store.Options{}), storetest.NthOfAll(n, storetest.Before))
		err := work(f)
		if f.Total() < n {
			require.NoError(t, err)
			require.Equal(t, 3, n, "two calls were made")
			return
		}
		require.ErrorIs(t, err, store.ErrUnavailable)
	}
}

func TestFaultyHidesSQL(t *testing.T) {
	var s store.Store = storetest.NewFaulty(memory.New(store.Options{}), nil)
	_, isSQL := s.(store.SQL)
	require.False(t, isSQL)
}

// T4
func TestClockStandsStill(t *testing.T) {
	start := time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)
	c := storetest.NewClock(start)
	require.Equal(t, start, c.Now())
	require.Equal(t, start, c.Now())
	require.Equal(t, start.Add(72*time.Hour), c.Advance(72*time.Hour))
	require.Equal(t, store.At(start.Add(72*time.Hour)), c.Instant())
	require.Equal(t, c.Now(), c.Options().Now())
	require.False(t, storetest.NewClock(time.Time{}).Now().IsZero())
}

func TestVerifyCallsTheCheck(t *testing.T) {
	called := 0
	f := storetest.Factory{Check: func(testing.TB, store.Store) { called++ }}
	f.Verify(t, nil)
	storetest.Factory{}.Verify(t, nil)
	require.Equal(t, 1, called)
}
