package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// Plans that were made while the tables were all but empty, and analyzed, find
// what they look for by an index when the tables are full.
func TestPlansForEmptyTables(t *testing.T) {
	s := open(t, newSchema(t), store.Options{Now: time.Now})
	keepNumbers(s)
	w, err := s.Beat(t.Context(), store.Beat{Lease: time.Hour})
	require.NoError(t, err)
	exec := func(text string) {
		t.Helper()
		_, err := s.DB().ExecContext(t.Context(), text)
		require.NoError(t, err)
	}
	visitAll(t, s, w.Key)
	for _, table := range []string{"messages", "rows", "runs"} {
		exec("VACUUM ANALYZE millrace_" + table)
	}
	visitAll(t, s, w.Key)
	visitAll(t, s, w.Key)
	exec(`INSERT INTO millrace_messages SELECT -g, 0, 0, 9, 0, 0, 'busy', NULL, '' FROM generate_series(1, 5000) AS g`)
	exec(`INSERT INTO millrace_rows SELECT 1, 'r' || g, 'n', 0, '' FROM generate_series(1, 5000) AS g`)
	exec(`INSERT INTO millrace_runs SELECT -g, 0, 1, 'r' || g, '', '' FROM generate_series(1, 5000) AS g`)
	before := entriesRead(t, s)
	visitAll(t, s, w.Key)
	read := entriesRead(t, s) - before
	require.Positive(t, read)
	require.Less(t, read, 1000)
}

// visitAll reads and writes some of everything, one after the other: by one
// connection.
func visitAll(t *testing.T, s *Store, worker int64) {
	t.Helper()
	ctx := t.Context()
	var first int64
	id := func() string { return fmt.Sprint("id", first) }
	message := func(seq int64) *store.Message { return &store.Message{Seq: seq, Topic: "plan", Run: first} }
	row := func(name string) *store.Row { return &store.Row{RowKey: key(name), Body: []byte("1")} }
	commit := func(keys store.Keys, decide store.Decide) {
		t.Helper()
		require.NoError(t, s.Commit(ctx, keys, decide))
	}
	commit(store.Keys{}, func(snap *store.Snapshot) *store.Changes { // run, held messages, named and free ones
		first = snap.NextSeq
		c := &store.Changes{Seqs: 8, PutRuns: []*store.Run{{Key: first, ID: id(), Status: store.Running}}}
		for i := range int64(7) {
			m := message(first + 1 + i)
			if i < 4 {
				m.Worker = worker
			}
			if i == 4 {
				m.Name, m.Due = "timer", store.Never
			}
			c.PutMessages = append(c.PutMessages, m)
		}
		c.PutRows = append(c.PutRows, row("a"), row("b"))
		return c
	})
	for range 2 { // decided on what is known, and on what is read
		commit(store.Keys{Rows: []store.RowKey{key("a")}, Runs: []int64{first}}, func(snap *store.Snapshot) *store.Changes {
			r := *snap.Runs[first]
			r.Name = "known"
			return &store.Changes{PutRuns: []*store.Run{&r}, PutRows: []*store.Row{row("a")}}
		})
	}
	commit(store.Keys{
		Worker: worker, Holds: []int64{first + 1, first + 2, first + 4}, Messages: []int64{first + 3},
		Runs: []int64{first}, RunIDs: []string{id()}, Rows: []store.RowKey{key("a"), key("c")},
		Lists: []store.List{{Kind: store.Lock, Owner: "a", Limit: 5}}, Free: []store.Free{{Run: first, Limit: 1}},
		Named: []store.Named{{Run: first, Name: "timer"}},
	}, func(snap *store.Snapshot) *store.Changes {
		return &store.Changes{
			DeleteMessages: []int64{first + 1, first + 2, first + 4}, PutMessages: []*store.Message{snap.Messages[first+3]},
			PutRows: []*store.Row{row("a")}, DeleteRows: []store.RowKey{key("b")},
		}
	})
	for _, g := range []store.Grab{{Seqs: []int64{first + 6}}, {Topics: []string{"plan"}}} {
		g.Worker, g.Limit = worker, 1
		got, err := s.Grab(ctx, g)
		require.NoError(t, err)
		require.Len(t, got.Messages, 1)
	}
	_, err := s.Purge(ctx, store.Purge{EndedBefore: 1, Limit: 10})
	require.NoError(t, err)
}

// entriesRead counts what the connection that was given back last has
// read of indexes and of whole tables so far.
func entriesRead(t *testing.T, s *Store) (n int) {
	t.Helper()
	x, err := s.pool.take(t.Context())
	require.NoError(t, err)
	require.NoError(t, x.script("flush", "SELECT pg_stat_force_next_flush()"))
	s.pool.give(x)
	require.NoError(t, s.DB().QueryRow(`SELECT
		(SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = current_schema()) +
		(SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = current_schema())`).Scan(&n))
	return n
}
