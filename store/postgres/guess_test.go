package postgres

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// throughCutter opens a store on a new schema through a cutter that knows
// commits that are a single statement, and another directly. However slow the
// machine is, the first knows the time, and its numbers stay good.
func throughCutter(t *testing.T) (c *cutter, s, direct *Store) {
	t.Helper()
	at := newSchema(t)
	direct = open(t, at, store.Options{})
	c, through := newCutter(t, at)
	c.single = []byte(*direct.name.Load())
	s = open(t, through, store.Options{Now: time.Now})
	keepNumbers(s)
	c.begins.Store(0)
	return c, s, direct
}

func keepNumbers(s *Store) {
	s.numbers.mu.Lock()
	defer s.numbers.mu.Unlock()
	s.numbers.goodFor = time.Hour
}

// A commit on what this process wrote last is a single statement.
func TestKnownRowsAreNotRead(t *testing.T) {
	c, s, _ := throughCutter(t)
	k := key("n")
	require.NoError(t, count(t, s, k))
	require.EqualValues(t, 1, c.begins.Load(), "nothing was known")
	for range 5 {
		require.NoError(t, count(t, s, k))
	}
	require.EqualValues(t, 1, c.begins.Load())
	require.Equal(t, 6, counted(rowsOf(t, s, k)[k]))
}

// F3: what became of a single statement whose answer was lost is found out too.
func TestLostAnswerOfASingleStatement(t *testing.T) {
	c, s, direct := throughCutter(t)
	k := key("n")
	want := 0
	known := func() (begins int32) {
		for begins = -1; c.begins.Load() != begins; want++ { // after wrong guesses, some commits read
			begins = c.begins.Load()
			require.NoError(t, count(t, s, k))
		}
		return begins
	}
	for range 3 {
		before := known()

		c.next.Store(loseAnswer)
		require.NoError(t, count(t, s, k))
		want++
		require.EqualValues(t, pass, c.next.Load(), "it was cut off")
		require.Equal(t, before, c.begins.Load())
		require.Equal(t, want, counted(rowsOf(t, direct, k)[k]))

		before = known()
		c.next.Store(loseAsked)
		require.NoError(t, count(t, s, k), "nothing was written, so it was decided again")
		want++
		require.Equal(t, before+1, c.begins.Load())
		require.Equal(t, want, counted(rowsOf(t, direct, k)[k]))
	}
}

// F1: what was decided on is checked: when another process has changed any of
// it, the commit is decided anew.
func TestWrongGuesses(t *testing.T) {
	run := func(s *store.Snapshot, name string) *store.Run {
		for _, r := range s.Runs {
			if r != nil {
				changed := *r
				changed.Name = name
				return &changed
			}
		}
		return nil
	}
	row := key("row")
	var runKey, seq, worker int64
	for _, c := range []struct {
		name  string
		keys  func() store.Keys
		other store.Decide
		mine  func(t *testing.T, s *store.Snapshot) *store.Changes
		lost  bool // mine is given no worker that is alive
	}{
		{
			name: "row changed",
			keys: func() store.Keys { return store.Keys{Rows: []store.RowKey{row}} },
			other: func(*store.Snapshot) *store.Changes {
				return &store.Changes{PutRows: []*store.Row{{RowKey: row, Body: []byte("41")}}}
			},
			mine: func(t *testing.T, s *store.Snapshot) *store.Changes {
				return &store.Changes{PutRows: []*store.Row{increased(s.Rows[row], row)}}
			},
		},
		{
			name: "row deleted",
			keys: func() store.Keys { return store.Keys{Rows: []store.RowKey{row}} },
			other: func(*store.Snapshot) *store.Changes {
				return &store.Changes{DeleteRows: []store.RowKey{row}}
			},
			mine: func(t *testing.T, s *store.Snapshot) *store.Changes {
				if s.Rows[row] != nil {
					return &store.Changes{DeleteRows: []store.RowKey{row}}
				}
				return &store.Changes{PutRows: []*store.Row{{RowKey: row, Body: []byte("42")}}}
			},
		},
		{
			name: "row made, and only looked at",
			keys: func() store.Keys { return store.Keys{Rows: []store.RowKey{key("new"), row}} },
			other: func(*store.Snapshot) *store.Changes {
				return &store.Changes{PutRows: []*store.Row{{RowKey: key("new"), Body: []byte("41")}}}
			},
			mine: func(t *testing.T, s *store.Snapshot) *store.Changes {
				return &store.Changes{PutRows: []*store.Row{increased(s.Rows[key("new")], row)}}
			},
		},
		{
			name: "run changed",
			keys: func() store.Keys { return store.Keys{Runs: []int64{runKey}, Rows: []store.RowKey{row}} },
			other: func(s *store.Snapshot) *store.Changes {
				return &store.Changes{PutRuns: []*store.Run{run(s, "41")}}
			},
			mine: func(t *testing.T, s *store.Snapshot) *store.Changes {
				r := s.Runs[runKey]
				return &store.Changes{
					PutRuns: []*store.Run{run(s, "mine")},
					PutRows: []*store.Row{increased(&store.Row{Body: []byte(r.Name)}, row)},
				}
			},
		},
		{
			name: "run made under the id",
			keys: func() store.Keys { return store.Keys{RunIDs: []string{"id"}, Rows: []store.RowKey{row}} },
			other: func(s *store.Snapshot) *store.Changes {
				return &store.Changes{Seqs: 1, PutRuns: []*store.Run{{Key: s.NextSeq, ID: "id", Name: "41"}}}
			},
			mine: func(t *testing.T, s *store.Snapshot) *store.Changes {
				if r := s.RunIDs["id"]; r != nil {
					return &store.Changes{PutRows: []*store.Row{increased(&store.Row{Body: []byte(r.Name)}, row)}}
				}
				return &store.Changes{Seqs: 1, PutRuns: []*store.Run{{Key: s.NextSeq, ID: "id"}}}
			},
		},
		{
			name: "run made under the id, and only looked at",
			keys: func() store.Keys { return store.Keys{RunIDs: []string{"id"}, Rows: []store.RowKey{row}} },
			other: func(s *store.Snapshot) *store.Changes {
				return &store.Changes{Seqs: 1, PutRuns: []*store.Run{{Key: s.NextSeq, ID: "id", Name: "41"}}}
			},
			mine: func(t *testing.T, s *store.Snapshot) *store.Changes {
				name := "0"
				if r := s.RunIDs["id"]; r != nil {
					name = r.Name
				}
				return &store.Changes{PutRows: []*store.Row{increased(&store.Row{Body: []byte(name)}, row)}}
			},
		},
		{
			name: "message taken",
			keys: func() store.Keys {
				return store.Keys{Worker: worker, Holds: []int64{seq}, Rows: []store.RowKey{row}}
			},
			other: func(*store.Snapshot) *store.Changes {
				return &store.Changes{PutMessages: []*store.Message{{Seq: seq, Topic: "t", ID: "m", Worker: worker + 1}}}
			},
			mine: func(t *testing.T, s *store.Snapshot) *store.Changes {
				if s.Holds[seq].Worker != worker {
					return &store.Changes{PutRows: []*store.Row{{RowKey: row, Body: []byte("42")}}}
				}
				return &store.Changes{DeleteMessages: []int64{seq}, PutRows: []*store.Row{increased(nil, row)}}
			},
		},
		{
			name: "worker closed",
			keys: func() store.Keys { return store.Keys{Worker: worker, Rows: []store.RowKey{row}} },
			lost: true,
			mine: func(t *testing.T, s *store.Snapshot) *store.Changes {
				if !s.Alive {
					return &store.Changes{PutRows: []*store.Row{{RowKey: row, Body: []byte("42")}}}
				}
				return &store.Changes{PutRows: []*store.Row{increased(nil, row)}}
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			cut, s, other := throughCutter(t)
			w, err := s.Beat(t.Context(), store.Beat{Worker: store.Worker{Host: "h"}, Lease: 1e12})
			require.NoError(t, err)
			worker = w.Key
			require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
				runKey, seq = snap.NextSeq, snap.NextSeq+1
				return &store.Changes{
					Seqs:        2,
					PutRuns:     []*store.Run{{Key: runKey, ID: "run", Name: "0"}},
					PutMessages: []*store.Message{{Seq: seq, Topic: "t", ID: "m", Worker: worker}},
					PutRows:     []*store.Row{{RowKey: row, Body: []byte("0")}},
				}
			}))
			begun := cut.begins.Load()
			if c.lost {
				_, err := other.Reap(t.Context(), store.Reap{Workers: []int64{worker}})
				require.NoError(t, err)
			} else {
				require.NoError(t, other.Commit(t.Context(), c.keys(), c.other))
			}
			decided := 0
			require.NoError(t, s.Commit(t.Context(), c.keys(), func(snap *store.Snapshot) *store.Changes {
				decided++
				return c.mine(t, snap)
			}))
			require.Equal(t, 2, decided, "first on what it knew")
			require.Equal(t, begun+1, cut.begins.Load())
			require.Equal(t, 42, counted(rowsOf(t, other, row)[row]))
		})
	}
}

// What was known of a server is not used on the one that follows it: it may
// count transactions anew.
func TestNothingIsKnownOfAnotherServer(t *testing.T) {
	c, s, _ := throughCutter(t)
	k := key("n")
	require.NoError(t, count(t, s, k))
	before := c.begins.Load()
	decided := 0
	settle, err := s.CommitAhead(t.Context(), store.Keys{Rows: []store.RowKey{k}}, func(snap *store.Snapshot) *store.Changes {
		if decided++; decided == 1 {
			x, err := s.pool.take(t.Context())
			require.NoError(t, err)
			x.broken = true
			s.pool.give(x)
		}
		return &store.Changes{PutRows: []*store.Row{increased(snap.Rows[k], k)}}
	})
	require.NoError(t, err)
	require.NoError(t, settle())
	require.Equal(t, 2, decided)
	require.Equal(t, before+1, c.begins.Load())
	require.Equal(t, 2, counted(rowsOf(t, s, k)[k]))
}

// A worker is not closed while a commit that was decided for it is under way:
// who frees what it held would miss what that commit makes.
func TestFenceHoldsOffClosing(t *testing.T) {
	s := open(t, newSchema(t), store.Options{})
	fenced := func(worker int64) (*sql.Tx, error) {
		tx, err := s.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		t.Cleanup(func() { _ = tx.Rollback() })
		w := changer{
			x: &foreign{tx: tx}, snap: &store.Snapshot{}, guess: &guess{home: *s.name.Load(), fence: worker},
			queues: &s.queues, mark: 1, number: 1,
		}
		return tx, w.apply(&store.Changes{})
	}
	worker, other := beat(t, s), beat(t, s)
	tx, err := fenced(worker)
	require.NoError(t, err)
	_, err = s.Reap(t.Context(), store.Reap{Workers: []int64{other}})
	require.NoError(t, err, "others are closed meanwhile")

	closed := make(chan error, 1)
	go func() {
		_, err := s.Reap(t.Context(), store.Reap{Workers: []int64{worker}})
		closed <- err
	}()
	require.Eventually(t, func() (waits bool) {
		require.NoError(t, s.DB().QueryRow(`SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND classid = (SELECT hashtext(value)::bit(32)::bigint FROM millrace_meta WHERE name = 'store')::oid)`).Scan(&waits))
		return waits
	}, 30*time.Second, 5*time.Millisecond)
	_, err = s.Beat(t.Context(), store.Beat{Worker: store.Worker{Key: worker}, Lease: time.Minute})
	require.NoError(t, err, "a heartbeat waits neither for the commit nor for who wants to close")
	select {
	case err := <-closed:
		t.Fatal("closed in the middle of a commit", err)
	default:
	}
	require.NoError(t, tx.Commit())
	require.NoError(t, <-closed)

	_, err = fenced(worker)
	require.Equal(t, stale, conflictOf(err), "it is closed")
}

// Closing costs the server a lock for each worker, so many are closed in pieces.
func TestManyWorkersAreClosed(t *testing.T) {
	s := open(t, newSchema(t), store.Options{})
	var named []int64
	for i := range 2*mostReaped + 40 {
		lease := time.Microsecond
		if i%2 == 0 {
			lease = time.Hour
		}
		b, err := s.Beat(t.Context(), store.Beat{Worker: store.Worker{Host: "h"}, Lease: lease})
		require.NoError(t, err)
		if lease == time.Hour {
			named = append(named, b.Key)
		}
	}
	spared := named[0]
	r, err := s.Reap(t.Context(), store.Reap{Expired: true, Workers: named[1:], Limit: 10})
	require.NoError(t, err)
	require.Len(t, r.Closed, 2*mostReaped+39)
	require.Zero(t, r.Next, "it looked for messages, too")
	_, err = s.Beat(t.Context(), store.Beat{Worker: store.Worker{Key: spared}, Lease: time.Minute})
	require.NoError(t, err)
}
