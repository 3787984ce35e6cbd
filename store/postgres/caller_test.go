package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/store"
)

func beat(t *testing.T, s *Store) (worker int64) {
	t.Helper()
	b, err := s.Beat(t.Context(), store.Beat{Worker: store.Worker{Host: "h"}, Lease: time.Minute})
	require.NoError(t, err)
	return b.Key
}

// holding begins a transaction of a caller's that has locked what keys name.
func holding(t *testing.T, s *Store, keys store.Keys) *sql.Tx {
	t.Helper()
	tx, err := s.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	require.NoError(t, s.CommitTx(t.Context(), tx, keys, func(*store.Snapshot) *store.Changes { return nil }))
	return tx
}

func nothing(*store.Snapshot) *store.Changes { return nil }

func closedRun(t *testing.T, s *Store, id string, ended store.Instant) (key int64) {
	t.Helper()
	require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		key = snap.NextSeq
		return &store.Changes{Seqs: 1, PutRuns: []*store.Run{{Key: key, ID: id, Status: store.Finished, Ended: ended}}}
	}))
	return key
}

// A run that somebody has locked is purged later; others are not kept by it.
func TestPurgeWaitsForNobody(t *testing.T) {
	s := open(t, newSchema(t), store.Options{})
	locked := closedRun(t, s, "locked", 1000)
	closedRun(t, s, "free", 2000)
	tx := holding(t, s, store.Keys{Runs: []int64{locked}})
	purge := store.Purge{EndedBefore: 5000, Limit: 10}
	n, err := s.Purge(t.Context(), purge)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = s.Purge(t.Context(), purge)
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, tx.Rollback())
	n, err = s.Purge(t.Context(), purge)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	found, err := s.Find(t.Context(), store.Query{Runs: &store.RunQuery{}})
	require.NoError(t, err)
	require.Empty(t, found.Runs)
}

// A claim passes over what somebody has locked.
func TestClaimWaitsForNobody(t *testing.T) {
	s := open(t, newSchema(t), store.Options{})
	w := beat(t, s)
	var seqs []int64
	require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		seqs = []int64{snap.NextSeq, snap.NextSeq + 1, snap.NextSeq + 2}
		c := &store.Changes{Seqs: 3}
		for _, seq := range seqs {
			c.PutMessages = append(c.PutMessages, &store.Message{Seq: seq, Topic: "t"})
		}
		return c
	}))
	holding(t, s, store.Keys{Messages: seqs[2:]})
	got, err := s.Grab(t.Context(), store.Grab{Worker: w, Seqs: seqs, Limit: 10})
	require.NoError(t, err)
	require.Len(t, got.Messages, 2)
}

// Commits that wait for a caller's lock wait side by side, not one behind the
// other.
func TestCommitsWaitForALockTogether(t *testing.T) {
	s := open(t, with(t, newSchema(t), "statement_timeout", "2s"), store.Options{})
	k := key("n")
	require.NoError(t, count(t, s, k))
	holding(t, s, store.Keys{Rows: []store.RowKey{k}})
	begun := time.Now()
	errs := make(chan error)
	const commits = 5
	for range commits {
		go func() { errs <- count(t, s, k) }()
	}
	for range commits {
		require.ErrorIs(t, <-errs, store.ErrUnavailable)
	}
	require.Less(t, time.Since(begun), commits*2*time.Second)
}

// A commit waits for a connection as long as its context lasts, also one that
// was decided already.
func TestCommitHeedsItsContext(t *testing.T) {
	s := open(t, with(t, newSchema(t), "pool", "2"), store.Options{Now: time.Now})
	keepNumbers(s)
	k := key("n")
	require.NoError(t, count(t, s, k))
	for _, decided := range []bool{true, false} {
		ctx, end := context.WithCancel(t.Context())
		var taken []*session
		if !decided {
			s.cache.doubt(&store.Keys{Rows: []store.RowKey{k}}, &store.Changes{})
			taken = takeAll(t, s)
			end()
		}
		err := s.Commit(ctx, store.Keys{Rows: []store.RowKey{k}}, func(snap *store.Snapshot) *store.Changes {
			if decided {
				taken = takeAll(t, s)
				end()
			}
			return &store.Changes{PutRows: []*store.Row{increased(snap.Rows[k], k)}}
		})
		require.ErrorIs(t, err, context.Canceled)
		for _, x := range taken {
			s.pool.give(x)
		}
		require.Equal(t, 1, counted(rowsOf(t, s, k)[k]))
		require.NoError(t, s.Commit(t.Context(), store.Keys{}, nothing)) // numbers
	}
}

// takeAll takes all connections that are not in use.
func takeAll(t *testing.T, s *Store) (all []*session) {
	t.Helper()
	for len(s.pool.places) < cap(s.pool.places) {
		x, err := s.pool.take(t.Context())
		require.NoError(t, err)
		all = append(all, x)
	}
	return all
}

// An idle connection that the server has ended is no error of the commit that
// finds it, be it decided on what is known or not.
func TestIdleConnectionEnded(t *testing.T) {
	at := newSchema(t)
	s, other := open(t, with(t, at, "pool", "2"), store.Options{}), open(t, at, store.Options{})
	k := key("n")
	for want := 1; want < 20; want += 2 {
		require.NoError(t, count(t, s, k))
		for _, x := range takeAll(t, s) {
			old := x.backend
			s.pool.give(x)
			require.NoError(t, other.pool.with(t.Context(), func(x *session) error { return x.query(sqlEndBackend, nil, old.pid, old.since) }))
		}
		require.NoError(t, count(t, s, k))
		require.Equal(t, want+1, counted(rowsOf(t, s, k)[k]))
	}
}

// A decision that panics leaves nothing locked.
func TestDecisionPanics(t *testing.T) {
	s := open(t, newSchema(t), store.Options{})
	k := key("n")
	for want := range 3 {
		require.PanicsWithValue(t, "x", func() {
			_ = s.Commit(t.Context(), store.Keys{Rows: []store.RowKey{k}}, func(*store.Snapshot) *store.Changes { panic("x") })
		})
		require.NoError(t, count(t, s, k))
		require.Equal(t, want+1, counted(rowsOf(t, s, k)[k]))
	}
}

// A process may sleep for nothing in particular.
func TestWakeWithoutTopics(t *testing.T) {
	s := open(t, newSchema(t), store.Options{})
	w := beat(t, s)
	require.NoError(t, s.Wake(t.Context())) // it may have missed some
	_, err := s.Grab(t.Context(), store.Grab{Worker: w, Limit: 10})
	require.NoError(t, err)
	require.NoError(t, s.Wake(t.Context())) // it has said that it sleeps
}

// M3: a message that was given to a worker stays with it, though the server
// crashes.
func TestGrabSurvivesTheServer(t *testing.T) {
	server := servers.StartPostgres(t)
	s := open(t, server.URL(), store.Options{})
	w, other := beat(t, s), beat(t, s)
	seqs := []int64{}
	require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		seqs = []int64{snap.NextSeq, snap.NextSeq + 1}
		return &store.Changes{Seqs: 2, PutMessages: []*store.Message{{Seq: seqs[0], Topic: "grabbed"}, {Seq: seqs[1], Topic: "claimed"}}}
	}))
	for _, g := range []store.Grab{{Topics: []string{"grabbed"}, Limit: 10}, {Seqs: seqs, Limit: 10}} {
		g.Worker = w
		got, err := s.Grab(t.Context(), g)
		require.NoError(t, err)
		require.Len(t, got.Messages, 1)
	}
	server.Kill()
	server.Start()
	for range 2 { // the first finds the connection broken
		got, err := s.Grab(t.Context(), store.Grab{Worker: other, Topics: []string{"grabbed", "claimed"}, Limit: 10})
		require.Empty(t, got.Messages, fmt.Sprint(err))
	}
}
