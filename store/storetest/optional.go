package storetest

import (
	"context"
	"database/sql"
	"errors"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var optionalChecks = []check{
	{"Migrate of a current schema changes nothing", migrateAgain},
	{"Wake ends with its context", wakeEnds},
	{"CommitTx takes effect with the transaction", txCommits},
	{"CommitTx has no effect without it", txRollsBack},
	{"CommitTx answers More and sees earlier writes of the transaction", txSeesItself},
}

func isLeaseLost(err error) bool { return errors.Is(err, store.ErrLeaseLost) }

// L3
func migrateAgain(x *fixture) {
	m, ok := x.store.(store.Migrator)
	if !ok {
		x.Skip("the store has no schema")
	}
	seq := x.insert(queued())[0]
	x.together(4, func(ctx context.Context, _ store.Store, _ int) error {
		from, to, err := m.Migrate(ctx)
		if err == nil && from != to {
			return errors.New("it migrated again")
		}
		return err
	})
	require.NotNil(x, x.message(seq))
}

func wakeEnds(x *fixture) {
	w, ok := x.store.(store.Waker)
	if !ok {
		x.Skip("the store does not wake")
	}
	ctx, cancel := context.WithCancel(x.Context())
	cancel()
	if err := w.Wake(ctx); err != nil {
		require.ErrorIs(x, err, context.Canceled)
	}
}

// begin begins a transaction of the caller's, or skips the test.
func (x *fixture) begin() (store.SQL, *sql.Tx) {
	x.Helper()
	s, ok := x.store.(store.SQL)
	if !ok {
		x.Skip("the store has no SQL")
	}
	_, err := s.DB().ExecContext(x.Context(), "CREATE TABLE IF NOT EXISTS storetest_own (n INTEGER)")
	require.NoError(x, err)
	tx, err := s.DB().BeginTx(x.Context(), nil)
	require.NoError(x, err)
	x.Cleanup(func() { _ = tx.Rollback() })
	_, err = tx.ExecContext(x.Context(), "INSERT INTO storetest_own (n) VALUES (1)")
	require.NoError(x, err)
	return s, tx
}

// own counts what transactions of the caller's have written.
func (x *fixture) own(s store.SQL) (n int) {
	x.Helper()
	require.NoError(x, s.DB().QueryRowContext(x.Context(), "SELECT count(*) FROM storetest_own").Scan(&n))
	return n
}

// insertTx inserts a message inside tx.
func (x *fixture) insertTx(s store.SQL, tx *sql.Tx) (seq int64) {
	x.Helper()
	require.NoError(x, s.CommitTx(x.Context(), tx, store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		seq = snap.NextSeq
		m := queued()
		m.Seq = seq
		return &store.Changes{Seqs: 1, PutMessages: []*store.Message{m}}
	}))
	return seq
}

// L5
func txCommits(x *fixture) {
	s, tx := x.begin()
	seq := x.insertTx(s, tx)
	require.NoError(x, tx.Commit())
	require.NotNil(x, x.message(seq))
	require.Equal(x, 1, x.own(s))
	require.Equal(x, []int64{seq}, x.take(x.worker(), 10))
	require.Greater(x, x.insert(queued())[0], seq)
}

// L5
func txRollsBack(x *fixture) {
	s, tx := x.begin()
	seq := x.insertTx(s, tx)
	require.NoError(x, tx.Rollback())
	require.Nil(x, x.message(seq))
	require.Zero(x, x.own(s))
	require.Empty(x, x.take(x.worker(), 10))
	again := x.insert(queued())[0]
	require.NotNil(x, x.message(again))
}

func txSeesItself(x *fixture) {
	w := x.worker()
	s, tx := x.begin()
	seq := x.insertTx(s, tx)
	var second int64
	require.NoError(x, s.CommitTx(x.Context(), tx, store.Keys{Worker: w}, func(snap *store.Snapshot) *store.Changes {
		m, read := snap.Messages[seq]
		if !read {
			return &store.Changes{More: &store.Keys{Messages: []int64{seq}}, DeleteMessages: []int64{seq}}
		}
		second = snap.NextSeq
		c := *m
		c.Seq = second
		if !snap.Alive {
			c.Topic = "not alive"
		}
		return &store.Changes{Seqs: 1, PutMessages: []*store.Message{&c}}
	}))
	require.Greater(x, second, seq)
	require.NoError(x, tx.Commit())
	require.Equal(x, []int64{seq, second}, x.take(w, 10))
}
