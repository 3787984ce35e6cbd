package sqlite

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// begin begins a transaction on db, and ends it with the test.
func begin(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// put adds a message in a transaction.
func put(t *testing.T, s *Store, tx *sql.Tx) error {
	t.Helper()
	return s.CommitTx(t.Context(), tx, store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		return &store.Changes{Seqs: 1, PutMessages: []*store.Message{{Seq: snap.NextSeq, Topic: "t"}}}
	})
}

func count(t *testing.T, s *Store) int {
	t.Helper()
	found, err := s.Find(t.Context(), store.Query{Messages: &store.MessageQuery{}, Limit: 1000})
	require.NoError(t, err)
	return len(found.Messages)
}

// L5
func TestCommitTxRefusesAnotherDatabase(t *testing.T) {
	mine, other := openNew(t, store.Options{}), openNew(t, store.Options{})
	err := put(t, mine, begin(t, other.DB()))
	require.ErrorContains(t, err, other.Path())
	require.ErrorContains(t, err, mine.Path())
	require.Zero(t, count(t, other))

	memory, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	defer memory.Close()
	require.ErrorContains(t, put(t, mine, begin(t, memory)), "the transaction is on")

	tx := begin(t, mine.DB())
	require.NoError(t, tx.Rollback())
	require.ErrorIs(t, put(t, mine, tx), sql.ErrTxDone)
}

// L5: a handle of the application's own will do, on the same file.
func TestCommitTxOnAnotherHandle(t *testing.T) {
	s := openNew(t, store.Options{})
	own, err := sql.Open("sqlite", s.Path())
	require.NoError(t, err)
	defer own.Close()

	tx := begin(t, own)
	require.NoError(t, put(t, s, tx))
	require.NoError(t, put(t, s, tx))
	require.NoError(t, tx.Commit())
	require.Equal(t, 2, count(t, s))
}

// L5: what the transaction has read must still be true.
func TestCommitTxOnAnOldSnapshot(t *testing.T) {
	s := openNew(t, store.Options{})
	own, err := sql.Open("sqlite", s.Path())
	require.NoError(t, err)
	defer own.Close()

	tx := begin(t, own)
	var n int
	require.NoError(t, tx.QueryRow("SELECT count(*) FROM millrace_messages").Scan(&n))
	require.NoError(t, addOne(s))
	require.ErrorIs(t, put(t, s, tx), store.ErrUnavailable)
}

// L5
func TestFailedCommitTxLeavesTheTransaction(t *testing.T) {
	s := openNew(t, store.Options{})
	tx := begin(t, s.DB())
	require.NoError(t, put(t, s, tx))
	twice := &store.Message{Topic: "t"}
	err := s.CommitTx(t.Context(), tx, store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		twice.Seq = snap.NextSeq
		return &store.Changes{Seqs: 1, PutMessages: []*store.Message{twice, twice}}
	})
	require.Error(t, err)
	require.Panics(t, func() {
		_ = s.CommitTx(t.Context(), tx, store.Keys{}, func(*store.Snapshot) *store.Changes { panic("decide") })
	})
	require.NoError(t, put(t, s, tx))
	require.NoError(t, tx.Commit())
	require.Equal(t, 2, count(t, s))
}

// M5, L5: a heartbeat comes through as soon as the application's transaction
// ends, and nobody is closed for the time that the transaction took.
func TestHeartbeatSurvivesATransaction(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := openNew(t, store.Options{Now: func() time.Time { return now }})
	w, err := s.Beat(t.Context(), store.Beat{Lease: time.Minute})
	require.NoError(t, err)

	tx := begin(t, s.DB())
	beaten := make(chan error)
	go func() {
		_, err := s.Beat(context.Background(), store.Beat{Worker: store.Worker{Key: w.Key}, Lease: time.Hour})
		beaten <- err
	}()
	require.NoError(t, put(t, s, tx))
	require.NoError(t, tx.Commit())
	require.NoError(t, <-beaten)
	reaped, err := s.Reap(t.Context(), store.Reap{Expired: true})
	require.NoError(t, err)
	require.Empty(t, reaped.Closed)
}

func TestReapJudgesByTheTimeOfItsCall(t *testing.T) {
	clock := make(chan time.Time, 2)
	s := openNew(t, store.Options{Now: func() time.Time {
		select {
		case now := <-clock:
			return now
		default:
			return time.Unix(1e9, 0)
		}
	}})
	_, err := s.Beat(t.Context(), store.Beat{Lease: time.Minute})
	require.NoError(t, err)
	clock <- time.Unix(1e9, 0)                      // when it was called
	clock <- time.Unix(1e9, 0).Add(2 * time.Minute) // when its turn came
	reaped, err := s.Reap(t.Context(), store.Reap{Expired: true})
	require.NoError(t, err)
	require.Empty(t, reaped.Closed)
}

// While somebody else writes, a call waits: as long as its context lasts, and
// no longer than the patience of the store.
func TestWaitingForTheWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s := open(t, path, Config{})
	hasty := open(t, path, Config{BusyTimeout: time.Millisecond})
	tx := begin(t, s.DB())

	brief, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	keep := func(*store.Snapshot) *store.Changes { return nil }
	require.ErrorIs(t, s.Commit(brief, store.Keys{}, keep), context.DeadlineExceeded, "in line")
	require.ErrorIs(t, addOne(hasty), store.ErrUnavailable, "at SQLite's lock")
	_, err := s.DB().BeginTx(brief, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = hasty.DB().BeginTx(t.Context(), nil)
	require.ErrorIs(t, err, store.ErrUnavailable)

	require.NoError(t, tx.Commit())
	require.NoError(t, addOne(s))
	require.NoError(t, addOne(hasty))
}

// A transaction for reading keeps nobody from writing.
func TestReadOnlyTransactionsDoNotWait(t *testing.T) {
	s := openNew(t, store.Options{})
	tx, err := s.DB().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback()) }()
	var n int
	require.NoError(t, tx.QueryRow("SELECT count(*) FROM millrace_runs").Scan(&n))
	require.NoError(t, addOne(s))
	require.NoError(t, tx.QueryRow("SELECT count(*) FROM millrace_runs").Scan(&n))
	require.Zero(t, n, "the transaction sees the file as it was")
}
