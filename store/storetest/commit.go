package storetest

import (
	"context"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var commitChecks = []check{
	{"rows are put, replaced and deleted", rowsArePut},
	{"messages are inserted, updated and deleted", messagesAreWritten},
	{"runs are inserted and updated", runsAreWritten},
	{"empty changes write nothing", emptyChanges},
	{"deleting what is absent is no error", deletingTheAbsent},
	{"updating what is gone does nothing", updatingWhatIsGone},
	{"absent keys are there as nil", absentKeys},
	{"keys not asked for are not there", unaskedKeys},
	{"a refused commit writes nothing", refusedCommit},
	{"changes that ask for more are not written", moreWritesNothing},
	{"more may be asked for repeatedly, and of every kind", moreOfEveryKind},
	{"the snapshot shows the store's clock", snapshotClock},
	{"an ended context writes nothing", endedContext},
	{"data survives", dataSurvives},
	{"other handles see what was committed", otherHandlesSee},
}

func rowsArePut(x *fixture) {
	key := store.RowKey{Kind: store.Event, Owner: "o", Name: "n"}
	x.putRow(key, "one")
	require.Equal(x, []byte("one"), x.row(key).Body)
	require.Equal(x, key, x.row(key).RowKey)

	x.write(&store.Changes{PutRows: []*store.Row{{RowKey: key, Until: 77, Body: []byte("two")}}})
	require.Equal(x, []byte("two"), x.row(key).Body)
	require.Equal(x, store.Instant(77), x.row(key).Until)

	x.write(&store.Changes{DeleteRows: []store.RowKey{key}})
	require.Nil(x, x.row(key))
}

func messagesAreWritten(x *fixture) {
	m := fullMessage()
	seq := x.insert(m)[0]
	requireMessage(x, m, x.message(seq))

	changed := *m
	changed.Topic, changed.Run, changed.Name, changed.Due = "other", 88, "renamed", 99
	changed.Priority, changed.Worker, changed.Attempt = -3, 5, 8
	changed.Payload = []byte("changed")
	x.write(&store.Changes{PutMessages: []*store.Message{&changed}})
	requireMessage(x, &changed, x.message(seq))
	require.Len(x, x.find(store.Query{Messages: &store.MessageQuery{}}).Messages, 1)

	x.write(&store.Changes{DeleteMessages: []int64{seq}})
	require.Nil(x, x.message(seq))
}

func runsAreWritten(x *fixture) {
	r := fullRun()
	key := x.insertRuns(r)[0]
	requireRun(x, r, x.run(key))

	changed := *r
	changed.Status, changed.Ended, changed.Open, changed.Result = store.Finished, 1234, 0, []byte("done")
	x.write(&store.Changes{PutRuns: []*store.Run{&changed}})
	requireRun(x, &changed, x.run(key))
	requireRun(x, &changed, x.read(store.Keys{RunIDs: []string{r.ID}}).RunIDs[r.ID])
}

// What was written last is often not read again; what was not there was not
// written.
func updatingWhatIsGone(x *fixture) {
	w := x.worker()
	held, run := queued(), &store.Run{ID: "a", Status: store.Finished, Ended: 1}
	held.Worker = w
	seq, key := x.insert(held)[0], x.insertRuns(run)[0]
	x.write(&store.Changes{DeleteMessages: []int64{seq}})
	x.purge(store.Purge{EndedBefore: 2, Limit: 10})
	put := &store.Changes{
		PutMessages: []*store.Message{held},
		PutRuns:     []*store.Run{{Key: key, ID: "a", Status: store.Running}},
	}
	x.write(put)
	row := &store.Row{RowKey: store.RowKey{Kind: store.Lock, Owner: "o", Name: "n"}}
	for range 2 {
		var got *store.Snapshot
		decide := func(s *store.Snapshot) *store.Changes {
			got = s
			return &store.Changes{PutMessages: put.PutMessages, PutRuns: put.PutRuns, PutRows: []*store.Row{row}}
		}
		x.change(store.Keys{Worker: w, Holds: []int64{seq}}, decide)
		require.Zero(x, got.Holds[seq])
		x.change(store.Keys{Worker: w, Runs: []int64{key}}, decide)
		require.Nil(x, got.Runs[key])
	}
	require.Empty(x, x.find(store.Query{Messages: &store.MessageQuery{}}).Messages)
	require.Empty(x, x.find(store.Query{Runs: &store.RunQuery{}}).Runs)
}

func emptyChanges(x *fixture) {
	key := store.RowKey{Kind: store.Event, Owner: "o", Name: "n"}
	x.putRow(key, "kept")
	x.change(store.Keys{Rows: []store.RowKey{key}}, func(*store.Snapshot) *store.Changes { return &store.Changes{} })
	require.Equal(x, []byte("kept"), x.row(key).Body)
}

func deletingTheAbsent(x *fixture) {
	x.write(&store.Changes{
		DeleteMessages: []int64{1 << 40},
		DeleteRows:     []store.RowKey{{Kind: store.Lock, Owner: "nobody"}},
	})
}

// everyKind names one absent row of each kind.
func everyKind() store.Keys {
	return store.Keys{
		Worker: 1 << 40, Holds: []int64{1 << 40}, Messages: []int64{1 << 40},
		Runs: []int64{1 << 40}, RunIDs: []string{"absent"},
		Rows:  []store.RowKey{{Kind: store.Undo, Owner: "absent", Name: "n"}},
		Lists: []store.List{{Kind: store.Undo, Owner: "absent", Limit: 3}},
		Free:  []store.Free{{Run: 1 << 40, Limit: 3}},
		Named: []store.Named{{Run: 1 << 40, Name: "absent"}},
	}
}

func absentKeys(x *fixture) {
	requireAbsent(x, everyKind(), x.read(everyKind()))
}

func requireAbsent(x *fixture, k store.Keys, s *store.Snapshot) {
	x.Helper()
	require.False(x, s.Alive)
	require.Equal(x, map[int64]store.Hold{k.Holds[0]: {}}, s.Holds)
	require.Equal(x, map[int64]*store.Message{k.Messages[0]: nil}, s.Messages)
	require.Equal(x, map[int64]*store.Run{k.Runs[0]: nil}, s.Runs)
	require.Equal(x, map[string]*store.Run{k.RunIDs[0]: nil}, s.RunIDs)
	require.Equal(x, map[store.RowKey]*store.Row{k.Rows[0]: nil}, s.Rows)
	require.Equal(x, map[store.Named]*store.Message{k.Named[0]: nil}, s.Named)
	require.Contains(x, s.Lists, k.Lists[0])
	require.Empty(x, s.Lists[k.Lists[0]])
	require.Contains(x, s.Free, k.Free[0])
	require.Empty(x, s.Free[k.Free[0]])
}

func unaskedKeys(x *fixture) {
	x.insert(queued())
	x.insertRuns(&store.Run{ID: "r", Status: store.Running})
	x.putRow(store.RowKey{Kind: store.Event, Owner: "o", Name: "n"}, "b")
	s := x.read(store.Keys{})
	require.False(x, s.Alive)
	require.Zero(x, len(s.Holds)+len(s.Messages)+len(s.Runs)+len(s.RunIDs)+
		len(s.Rows)+len(s.Lists)+len(s.Free)+len(s.Named))
}

// F1: at the level of rows: all of a commit is there, or none.
func refusedCommit(x *fixture) {
	x.insertRuns(&store.Run{ID: "taken", Status: store.Running})
	seq := x.insert(queued())[0]
	row := store.RowKey{Kind: store.Event, Owner: "o", Name: "n"}
	var next int64
	err := x.store.Commit(x.Context(), store.Keys{}, func(s *store.Snapshot) *store.Changes {
		next = s.NextSeq
		return &store.Changes{
			Seqs:           2,
			PutMessages:    []*store.Message{{Seq: next, Topic: "q"}},
			DeleteMessages: []int64{seq},
			PutRows:        []*store.Row{{RowKey: row, Body: []byte("b")}},
			PutRuns:        []*store.Run{{Key: next + 1, ID: "taken", Status: store.Running}},
		}
	})
	require.Error(x, err, "an id is unique among runs")
	require.NotErrorIs(x, err, store.ErrUnknown)
	require.Nil(x, x.message(next))
	require.NotNil(x, x.message(seq))
	require.Nil(x, x.row(row))
	require.Nil(x, x.run(next+1))
	require.Len(x, x.find(store.Query{Runs: &store.RunQuery{}}).Runs, 1)
}

func moreWritesNothing(x *fixture) {
	a := store.RowKey{Kind: store.Event, Owner: "o", Name: "a"}
	b := store.RowKey{Kind: store.Event, Owner: "o", Name: "b"}
	stray := store.RowKey{Kind: store.Event, Owner: "o", Name: "stray"}
	x.putRow(a, "a")
	x.putRow(b, "b")
	rounds := 0
	x.change(store.Keys{Rows: []store.RowKey{a}}, func(s *store.Snapshot) *store.Changes {
		if _, read := s.Rows[b]; !read {
			rounds++
			return &store.Changes{
				More:       &store.Keys{Rows: []store.RowKey{b, stray}},
				Seqs:       1,
				PutRows:    []*store.Row{{RowKey: stray, Body: []byte("stray")}},
				DeleteRows: []store.RowKey{a},
			}
		}
		require.Nil(x, s.Rows[stray])
		body := append(append([]byte{}, s.Rows[a].Body...), s.Rows[b].Body...)
		return &store.Changes{PutRows: []*store.Row{{RowKey: a, Body: body}}}
	})
	require.Equal(x, 1, rounds)
	require.Equal(x, []byte("ab"), x.row(a).Body)
	require.Nil(x, x.row(stray))
}

func moreOfEveryKind(x *fixture) {
	w := x.worker()
	var last *store.Snapshot
	round := 0
	x.change(store.Keys{}, func(s *store.Snapshot) *store.Changes {
		last = s
		round++
		switch round {
		case 1:
			k := everyKind()
			return &store.Changes{More: &k}
		case 2:
			requireAbsent(x, everyKind(), s)
			return &store.Changes{More: &store.Keys{Worker: w}}
		}
		return &store.Changes{}
	})
	require.Equal(x, 3, round)
	require.True(x, last.Alive, "the fence asked for last")
	last.Alive = false
	requireAbsent(x, everyKind(), last)
}

// T4
func snapshotClock(x *fixture) {
	require.Equal(x, x.clock.Instant(), x.read(store.Keys{}).Now)
	x.clock.Advance(72 * 60 * 60 * 1e9)
	require.Equal(x, x.clock.Instant(), x.read(store.Keys{}).Now)
}

func endedContext(x *fixture) {
	seq := x.insert(queued())[0]
	w := x.worker()
	ctx, cancel := context.WithCancel(x.Context())
	cancel()
	for name, call := range calls(w, seq) {
		require.ErrorIs(x, call(ctx, x.store), context.Canceled, name)
	}
	require.Zero(x, x.message(seq).Worker)
	require.Equal(x, []byte("p"), x.message(seq).Payload)
	require.True(x, x.read(store.Keys{Worker: w}).Alive)
}

// calls are all methods but Close, each with an effect.
func calls(worker, seq int64) map[string]func(context.Context, store.Store) error {
	deleted := func(*store.Snapshot) *store.Changes { return &store.Changes{DeleteMessages: []int64{seq}} }
	return map[string]func(context.Context, store.Store) error{
		"Commit": func(ctx context.Context, s store.Store) error {
			return s.Commit(ctx, store.Keys{Messages: []int64{seq}}, deleted)
		},
		"Grab": func(ctx context.Context, s store.Store) error {
			_, err := s.Grab(ctx, store.Grab{Worker: worker, Topics: []string{"q"}, Limit: 1})
			return err
		},
		"Beat": func(ctx context.Context, s store.Store) error {
			_, err := s.Beat(ctx, store.Beat{Worker: store.Worker{Key: worker}, Lease: 1e9})
			return err
		},
		"Reap": func(ctx context.Context, s store.Store) error {
			_, err := s.Reap(ctx, store.Reap{Workers: []int64{worker}, Limit: 10})
			return err
		},
		"Find": func(ctx context.Context, s store.Store) error {
			_, err := s.Find(ctx, store.Query{Workers: &store.WorkerQuery{}})
			return err
		},
		"Purge": func(ctx context.Context, s store.Store) error {
			_, err := s.Purge(ctx, store.Purge{Limit: 10})
			return err
		},
	}
}

func dataSurvives(x *fixture) {
	m, r := fullMessage(), fullRun()
	m.Worker = x.worker()
	seq, key := x.insert(m)[0], x.insertRuns(r)[0]
	row := store.RowKey{Kind: store.Dead, Name: store.Num(3)}
	x.putRow(row, "body")
	x.reopen()
	requireMessage(x, m, x.message(seq))
	requireRun(x, r, x.run(key))
	require.Equal(x, []byte("body"), x.row(row).Body)
	require.True(x, x.read(store.Keys{Worker: m.Worker}).Alive)
}

func otherHandlesSee(x *fixture) {
	two := x.handles()
	m := fullMessage()
	seq := x.insert(m)[0]
	requireMessage(x, m, readFrom(x.T, two[1], store.Keys{Messages: []int64{seq}}).Messages[seq])
	delete1 := func(*store.Snapshot) *store.Changes { return &store.Changes{DeleteMessages: []int64{seq}} }
	require.NoError(x, two[1].Commit(x.Context(), store.Keys{}, delete1))
	require.Nil(x, x.message(seq))
}

func label(i int) string { return fmt.Sprintf("%03d", i) }
