package sqlite

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// fill commits n messages of some size.
func fill(t *testing.T, s *Store, n, size int) error {
	t.Helper()
	return s.Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		c := &store.Changes{Seqs: int64(n)}
		for i := range int64(n) {
			c.PutMessages = append(c.PutMessages,
				&store.Message{Seq: snap.NextSeq + i, Topic: "t", Payload: make([]byte, size)})
		}
		return c
	})
}

// R5: on a full disk nothing is written by half, and it goes on when there is
// room again.
func TestFullDisk(t *testing.T) {
	s := openNew(t, store.Options{})
	require.NoError(t, addOne(s))
	require.NoError(t, s.writer.session.script("PRAGMA max_page_count = 40"))
	err := fill(t, s, 100, 10_000)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorContains(t, err, "full")
	require.Equal(t, 1, sound(t, s))

	require.NoError(t, s.writer.session.script("PRAGMA max_page_count = 4000"))
	require.NoError(t, fill(t, s, 100, 10_000))
	require.Equal(t, 101, count(t, s))
}

// R5: a transaction that SQLite has undone by itself costs the connection.
func TestBrokenConnectionIsReplaced(t *testing.T) {
	s := openNew(t, store.Options{})
	require.NoError(t, addOne(s))
	broken := s.writer.session
	err := s.writer.do(t.Context(), "test", func(x *session) (bool, error) {
		_, err := x.exec(sqlRollback)
		return true, err
	}, nil)
	require.ErrorIs(t, err, store.ErrUnknown)
	require.NoError(t, addOne(s))
	require.NotSame(t, broken, s.writer.session)
	require.Equal(t, 2, sound(t, s))
}

// After a COMMIT of which nobody knows what became, numbers in hand may be in
// use: they are not given again.
func TestNumbersAfterAnUnknownCommit(t *testing.T) {
	s := openNew(t, store.Options{})
	require.NoError(t, addOne(s))
	before := s.free
	s.settle(&commit{free: before}, fmt.Errorf("%w", store.ErrUnknown))
	var next int64
	require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		next = snap.NextSeq
		return nil
	}))
	require.Equal(t, before.end, next)
}

// A panic of decide ends the call, not the store.
func TestPanicInDecide(t *testing.T) {
	s := openNew(t, store.Options{})
	require.PanicsWithValue(t, "decide", func() {
		_ = s.Commit(t.Context(), store.Keys{}, func(*store.Snapshot) *store.Changes { panic("decide") })
	})
	require.NoError(t, addOne(s))
}

func TestErrorsSayWhatTheyMean(t *testing.T) {
	s := openNew(t, store.Options{})
	err := s.writer.do(t.Context(), "test", func(x *session) (bool, error) {
		return false, x.script("SELECT nothing FROM nowhere")
	}, nil)
	require.ErrorContains(t, err, "sqlite: test: ")
	require.NotErrorIs(t, err, store.ErrUnavailable)
	require.NotErrorIs(t, err, store.ErrCorrupt)
	require.True(t, outcomeUnknown(errors.New("connection lost")))
}
