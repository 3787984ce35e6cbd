package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// handles opens several stores on one new schema, as several processes would.
func handles(t testing.TB, n int) []*Store {
	t.Helper()
	at := newSchema(t)
	all := make([]*Store, n)
	for i := range all {
		all[i] = open(t, at, store.Options{})
	}
	return all
}

// together runs n functions at once, spread over the stores.
func together(t testing.TB, all []*Store, n int, f func(s *Store, i int) error) {
	t.Helper()
	var running sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		running.Go(func() { errs[i] = f(all[i%len(all)], i) })
	}
	running.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func key(name string) store.RowKey { return store.RowKey{Kind: store.Lock, Owner: name} }

// counted is the number in a row.
func counted(r *store.Row) int {
	if r == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(r.Body))
	return n
}

func increased(r *store.Row, k store.RowKey) *store.Row {
	return &store.Row{RowKey: k, Body: []byte(strconv.Itoa(counted(r) + 1))}
}

// rowsOf reads rows.
func rowsOf(t testing.TB, s *Store, keys ...store.RowKey) map[store.RowKey]*store.Row {
	t.Helper()
	var got map[store.RowKey]*store.Row
	require.NoError(t, s.Commit(t.Context(), store.Keys{Rows: keys}, func(snap *store.Snapshot) *store.Changes {
		got = snap.Rows
		return nil
	}))
	return got
}

// F1: committers that read and write overlapping runs and rows in any order,
// some of them only once they have seen the first, lose no update.
func TestManyCommitters(t *testing.T) {
	all := handles(t, 3)
	const runs, rows, committers, rounds = 30, 30, 6, 15
	var keys []int64
	require.NoError(t, all[0].Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		c := &store.Changes{Seqs: runs}
		keys = nil
		for i := range int64(runs) {
			keys = append(keys, snap.NextSeq+i)
			c.PutRuns = append(c.PutRuns, &store.Run{Key: snap.NextSeq + i, ID: fmt.Sprint(i), Status: store.Running})
		}
		return c
	}))
	together(t, all, committers, func(s *Store, _ int) error {
		for range rounds {
			first, second := keys[rand.IntN(runs)], keys[rand.IntN(runs)]
			a, b := key(fmt.Sprint(rand.IntN(rows))), key(fmt.Sprint(rand.IntN(rows)))
			want := store.Keys{Runs: []int64{first}, Rows: []store.RowKey{a}}
			err := s.Commit(context.Background(), want, func(snap *store.Snapshot) *store.Changes {
				if _, read := snap.Runs[second]; !read || len(snap.Rows) == 1 && a != b {
					return &store.Changes{More: &store.Keys{Runs: []int64{second}, Rows: []store.RowKey{b}}}
				}
				run := *snap.Runs[second]
				run.Entries++
				return &store.Changes{PutRuns: []*store.Run{&run}, PutRows: []*store.Row{increased(snap.Rows[b], b)}}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	found, err := all[0].Find(t.Context(), store.Query{Runs: &store.RunQuery{}})
	require.NoError(t, err)
	sum := 0
	for _, r := range found.Runs {
		sum += r.Entries
	}
	require.Equal(t, committers*rounds, sum)
	sum = 0
	for i := range rows {
		k := key(fmt.Sprint(i))
		sum += counted(rowsOf(t, all[0], k)[k])
	}
	require.Equal(t, committers*rounds, sum)
}

// L4: of those who find an id absent at the same time one takes it in.
func TestAbsentRowsAreMadeOnce(t *testing.T) {
	all := handles(t, 3)
	const ids, committers = 20, 8
	together(t, all, committers, func(s *Store, _ int) error {
		for i := range ids {
			k := store.RowKey{Kind: store.Inbox, Owner: "c", Name: fmt.Sprint(i)}
			err := s.Commit(context.Background(), store.Keys{Rows: []store.RowKey{k}}, func(snap *store.Snapshot) *store.Changes {
				if snap.Rows[k] != nil {
					return nil
				}
				m := &store.Message{Seq: snap.NextSeq, Topic: "q", ID: k.Name}
				return &store.Changes{Seqs: 1, PutMessages: []*store.Message{m}, PutRows: []*store.Row{{RowKey: k, Body: []byte("x")}}}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	found, err := all[0].Find(t.Context(), store.Query{Messages: &store.MessageQuery{}, Limit: 1000})
	require.NoError(t, err)
	require.Len(t, found.Messages, ids)
}

// R1: one start of an id makes a run, whoever else comes at the same time.
func TestRunIDsAreMadeOnce(t *testing.T) {
	all := handles(t, 3)
	const ids, committers = 20, 8
	together(t, all, committers, func(s *Store, _ int) error {
		for i := range ids {
			id := fmt.Sprint(i)
			err := s.Commit(context.Background(), store.Keys{RunIDs: []string{id}}, func(snap *store.Snapshot) *store.Changes {
				if snap.RunIDs[id] != nil {
					return nil
				}
				return &store.Changes{Seqs: 1, PutRuns: []*store.Run{{Key: snap.NextSeq, ID: id, Status: store.Running}}}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	found, err := all[0].Find(t.Context(), store.Query{Runs: &store.RunQuery{}})
	require.NoError(t, err)
	require.Len(t, found.Runs, ids)
}

// Two commits of which each makes what the other relies on being absent: one
// sees the other.
func TestAbsenceIsKept(t *testing.T) {
	all := handles(t, 2)
	for round := range 20 {
		pair := []store.RowKey{key(fmt.Sprint("a", round)), key(fmt.Sprint("b", round))}
		ids := []string{fmt.Sprint("a", round), fmt.Sprint("b", round)}
		var meet sync.WaitGroup
		meet.Add(2)
		together(t, all, 2, func(s *Store, i int) error {
			first := true
			keys := store.Keys{Rows: pair, RunIDs: ids}
			return s.Commit(context.Background(), keys, func(snap *store.Snapshot) *store.Changes {
				if first { // both have read before one writes
					first = false
					meet.Done()
					meet.Wait()
				}
				if snap.Rows[pair[1-i]] != nil || snap.RunIDs[ids[1-i]] != nil {
					return nil
				}
				if round%2 == 0 {
					return &store.Changes{PutRows: []*store.Row{{RowKey: pair[i], Body: []byte("x")}}}
				}
				return &store.Changes{Seqs: 1, PutRuns: []*store.Run{{Key: snap.NextSeq, ID: ids[i], Status: store.Running}}}
			})
		})
		got := rowsOf(t, all[0], pair...)
		found, err := all[0].Find(t.Context(), store.Query{Runs: &store.RunQuery{}, Limit: 1000})
		require.NoError(t, err)
		if round%2 == 0 {
			require.True(t, (got[pair[0]] == nil) != (got[pair[1]] == nil), "one of two")
		} else {
			require.Len(t, found.Runs, (round+1)/2)
		}
	}
}

// M3: what was read of a message without a lock is verified when it is written.
func TestHoldsAreVerified(t *testing.T) {
	for name, change := range map[string]func(m *store.Message) *store.Changes{
		"deleted": func(m *store.Message) *store.Changes { return &store.Changes{DeleteMessages: []int64{m.Seq}} },
		"freed": func(m *store.Message) *store.Changes {
			free := *m
			free.Worker = 0
			return &store.Changes{PutMessages: []*store.Message{&free}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			all := handles(t, 2)
			w, err := all[0].Beat(t.Context(), store.Beat{Lease: time.Minute})
			require.NoError(t, err)
			m := &store.Message{Topic: "q", Worker: w.Key}
			require.NoError(t, all[0].Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
				m.Seq = snap.NextSeq
				return &store.Changes{Seqs: 1, PutMessages: []*store.Message{m}}
			}))
			var seen []store.Hold
			keys := store.Keys{Worker: w.Key, Holds: []int64{m.Seq}}
			require.NoError(t, all[0].Commit(t.Context(), keys, func(snap *store.Snapshot) *store.Changes {
				h := snap.Holds[m.Seq]
				if seen = append(seen, h); len(seen) == 1 {
					require.NoError(t, all[1].Commit(t.Context(), store.Keys{}, func(*store.Snapshot) *store.Changes { return change(m) }))
				}
				if !h.Exists || h.Worker != w.Key {
					return nil
				}
				child := &store.Message{Seq: snap.NextSeq, Topic: "q", ID: "child"}
				return &store.Changes{Seqs: 1, DeleteMessages: []int64{m.Seq}, PutMessages: []*store.Message{child}}
			}))
			require.Len(t, seen, 2, "it was decided anew")
			require.Equal(t, store.Hold{Exists: true, Worker: w.Key}, seen[0])
			require.Zero(t, seen[1].Worker)
			found, err := all[0].Find(t.Context(), store.Query{Messages: &store.MessageQuery{}})
			require.NoError(t, err)
			for _, got := range found.Messages {
				require.NotEqual(t, "child", got.ID)
			}
		})
	}
}

// A commit ahead is seen, or waited for, by the next, and may be settled after
// it.
func TestCommitsAhead(t *testing.T) {
	s := handles(t, 1)[0]
	k := key("n")
	ahead := func() func() error {
		settle, err := s.CommitAhead(t.Context(), store.Keys{Rows: []store.RowKey{k}}, func(snap *store.Snapshot) *store.Changes {
			return &store.Changes{PutRows: []*store.Row{increased(snap.Rows[k], k)}}
		})
		require.NoError(t, err)
		return settle
	}
	var all []func() error
	for range 5 {
		all = append(all, ahead())
	}
	for i := range all {
		require.NoError(t, all[len(all)-1-i]())
	}
	require.Equal(t, 5, counted(rowsOf(t, s, k)[k]))
}

// More numbers than a commit draws at once are drawn in a row.
func TestManyNumbers(t *testing.T) {
	all := handles(t, 2)
	const n = 3*blockSize + 5
	together(t, all, 4, func(s *Store, _ int) error {
		return s.Commit(context.Background(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
			c := &store.Changes{Seqs: n}
			for i := range int64(n) {
				if i%97 == 0 || i == n-1 {
					c.PutMessages = append(c.PutMessages, &store.Message{Seq: snap.NextSeq + i, Topic: "q"})
				}
			}
			return c
		})
	})
	found, err := all[0].Find(t.Context(), store.Query{Messages: &store.MessageQuery{}, Limit: n})
	require.NoError(t, err)
	require.Len(t, found.Messages, 4*(n/97+2))
}

// M5: a heartbeat does not wait for a commit of its worker.
func TestBeatDoesNotWait(t *testing.T) {
	s := handles(t, 1)[0]
	w, err := s.Beat(t.Context(), store.Beat{Lease: time.Minute})
	require.NoError(t, err)
	k := key("n")
	require.NoError(t, s.Commit(t.Context(), store.Keys{Worker: w.Key}, func(*store.Snapshot) *store.Changes {
		_, err := s.Beat(t.Context(), store.Beat{Worker: store.Worker{Key: w.Key}, Lease: time.Minute})
		require.NoError(t, err)
		return &store.Changes{PutRows: []*store.Row{{RowKey: k}}}
	}))
}
