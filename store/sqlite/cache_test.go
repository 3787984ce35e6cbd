package sqlite

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// bump reads a run and adds one to its Open; by which way is up to commit.
func bump(t *testing.T, commit func(store.Keys, store.Decide) error, key int64) (before int) {
	t.Helper()
	require.NoError(t, commit(store.Keys{Runs: []int64{key}}, func(snap *store.Snapshot) *store.Changes {
		r := *snap.Runs[key]
		before = r.Open
		r.Open++
		return &store.Changes{PutRuns: []*store.Run{&r}}
	}))
	return before
}

func by(t *testing.T, s *Store) func(store.Keys, store.Decide) error {
	return func(k store.Keys, d store.Decide) error { return s.Commit(t.Context(), k, d) }
}

func newRun(t *testing.T, s *Store) (key int64) {
	t.Helper()
	require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		key = snap.NextSeq
		return &store.Changes{Seqs: 1, PutRuns: []*store.Run{{Key: key, ID: "r", Status: store.Running}}}
	}))
	return key
}

// Whoever changes a run, the next to read it sees the change.
func TestRunsInTheCacheAreNeverOld(t *testing.T) {
	s := openNew(t, store.Options{})
	other := open(t, s.Path(), Config{})
	key := newRun(t, s)
	inTx := func(k store.Keys, d store.Decide) error {
		tx := begin(t, s.DB())
		if err := s.CommitTx(t.Context(), tx, k, d); err != nil {
			return err
		}
		return tx.Commit()
	}
	n := 0
	for range 3 {
		for _, way := range []func(store.Keys, store.Decide) error{
			by(t, s), by(t, s), by(t, other), by(t, s), inTx, by(t, s), by(t, other), inTx, inTx,
		} {
			require.Equal(t, n, bump(t, way, key))
			n++
		}
	}
}

// What was not committed is not in the cache, and what was purged neither.
func TestCacheFollowsTheFile(t *testing.T) {
	s := openNew(t, store.Options{})
	key := newRun(t, s)
	require.Equal(t, 0, bump(t, by(t, s), key))
	err := s.Commit(t.Context(), store.Keys{Runs: []int64{key}}, func(snap *store.Snapshot) *store.Changes {
		r := *snap.Runs[key]
		r.Open = 77
		return &store.Changes{PutRuns: []*store.Run{&r, {Key: 1 << 40}}}
	})
	require.ErrorContains(t, err, "not given out")
	require.Equal(t, 1, bump(t, by(t, s), key))

	require.NoError(t, s.Commit(t.Context(), store.Keys{Runs: []int64{key}}, func(snap *store.Snapshot) *store.Changes {
		r := *snap.Runs[key]
		r.Status, r.Ended = store.Finished, 5
		return &store.Changes{PutRuns: []*store.Run{&r}}
	}))
	n, err := s.Purge(t.Context(), store.Purge{EndedBefore: 6, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, s.Commit(t.Context(), store.Keys{Runs: []int64{key}}, func(snap *store.Snapshot) *store.Changes {
		require.Nil(t, snap.Runs[key])
		return nil
	}))
}

// L6
func TestCacheIsBounded(t *testing.T) {
	var c cache
	for i := range int64(200) {
		c.keep([]*store.Run{{Key: i, Status: store.Running, State: make([]byte, 1<<20)}})
		require.LessOrEqual(t, c.size, cacheBytes+1<<20+4096)
	}
	for i := range int64(200) {
		c.keep([]*store.Run{{Key: i, Status: store.Finished}})
	}
	require.Zero(t, c.size)
	require.Empty(t, c.runs)
}

// A transaction that its owner forgot does not hold up the end.
func TestCloseDoesNotWaitForCallers(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir()+"/a.db", Config{})
	require.NoError(t, err)
	tx, err := s.DB().BeginTx(context.Background(), nil)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, tx.Rollback())
	require.ErrorIs(t, addOne(s), store.ErrClosed)
	_, err = s.DB().Begin()
	require.Error(t, err, "the handle is closed too")
}
