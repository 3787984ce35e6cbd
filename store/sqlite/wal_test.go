package sqlite

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// look commits nothing.
func look(s *Store, t *testing.T) error {
	t.Helper()
	return s.Commit(t.Context(), store.Keys{}, func(*store.Snapshot) *store.Changes { return &store.Changes{} })
}

// breakFlush makes each flush of s fail: a directory is no log.
func breakFlush(t *testing.T, s *Store) {
	t.Helper()
	s.wal.path = t.TempDir()
}

// Who finds that its commit was made, since the answer said that nobody knows,
// must not take it for durable.
//
// M1: the same caller's retry is told "started"
func TestWhatIsNotOnDiskIsNotAcknowledged(t *testing.T) {
	s := openNew(t, store.Options{})
	require.NoError(t, addOne(s))
	require.NoError(t, look(s, t))
	breakFlush(t, s)
	require.ErrorIs(t, addOne(s), store.ErrUnknown)
	require.ErrorIs(t, look(s, t), store.ErrUnknown)
}

// Nor is what another process has yet to flush.
func TestWhatOthersHaveNotFlushedIsFlushed(t *testing.T) {
	s := openNew(t, store.Options{})
	other := open(t, s.Path(), Config{})
	require.NoError(t, look(s, t))
	require.Zero(t, s.wal.last())
	settle, err := other.CommitAhead(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		return &store.Changes{Seqs: 1, PutMessages: []*store.Message{{Seq: snap.NextSeq, Topic: "t"}}}
	})
	require.NoError(t, err)
	breakFlush(t, s)
	require.ErrorIs(t, look(s, t), store.ErrUnknown)
	require.NoError(t, settle())
	require.NoError(t, look(other, t), "what is on disk needs no flush")
}

// With commits that may be lost, nobody waits.
func TestNormalWaitsForNothing(t *testing.T) {
	s := open(t, t.TempDir()+"/a.db", Config{Synchronous: Normal})
	breakFlush(t, s)
	require.NoError(t, addOne(s))
	require.NoError(t, look(s, t))
}
