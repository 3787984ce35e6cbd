package storetest

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var findMessageChecks = []check{
	{"all are paged through in the order of seq", pageMessages},
	{"by worker, by run, by seq", filterMessages},
	{"a page is 100 unless asked otherwise", defaultPage},
}

var findRunChecks = []check{
	{"one by key or id", findOneRun},
	{"paged oldest first and newest first", pageRuns},
	{"by status, paged both ways", pageRunsByStatus},
}

var findRowChecks = []check{
	{"of one owner, paged both ways", pageRows},
	{"of all owners, in the order of owner and name", pageAllOwners},
	{"rows with empty names are paged through", pageEmptyNames},
}

func pageMessages(x *fixture) {
	s := x.insert(many(9)...)
	got, after := []int64{}, int64(0)
	for page := range 3 {
		f := x.find(store.Query{Messages: &store.MessageQuery{After: after}, Limit: 3})
		require.Len(x, f.Messages, 3)
		require.Equal(x, page < 2, f.More)
		require.Equal(x, x.clock.Instant(), f.Now)
		got = append(got, seqsOf(f.Messages)...)
		after = got[len(got)-1]
	}
	require.Equal(x, s, got)
	f := x.find(store.Query{Messages: &store.MessageQuery{After: after}})
	require.Empty(x, f.Messages)
	require.False(x, f.More)
}

func filterMessages(x *fixture) {
	w := x.worker()
	messages := many(8)
	for i, m := range messages {
		m.Run = int64(i%2) * 7
		m.Worker = int64(i/4) * w
	}
	s := x.insert(messages...)
	find := func(q store.MessageQuery, limit int) []int64 {
		return seqsOf(x.find(store.Query{Messages: &q, Limit: limit}).Messages)
	}
	require.Equal(x, s[4:], find(store.MessageQuery{Worker: w}, 0))
	require.Equal(x, s[6:], find(store.MessageQuery{Worker: w, After: s[5]}, 0))
	require.Equal(x, []int64{s[1], s[3], s[5], s[7]}, find(store.MessageQuery{Run: 7}, 0))
	require.Equal(x, []int64{s[1], s[3]}, find(store.MessageQuery{Run: 7}, 2))
	require.Equal(x, []int64{s[5], s[7]}, find(store.MessageQuery{Run: 7, Worker: w}, 0))
	require.Equal(x, []int64{s[0], s[6]}, find(store.MessageQuery{Seqs: []int64{s[6], s[7] + 1000, s[0]}}, 0))
	require.Equal(x, []int64{s[6]}, find(store.MessageQuery{Seqs: []int64{s[6], s[0]}, Worker: w}, 0))

	f := x.find(store.Query{Messages: &store.MessageQuery{Run: 7}, Limit: 3})
	require.True(x, f.More)
	f = x.find(store.Query{Messages: &store.MessageQuery{Run: 7}, Limit: 4})
	require.False(x, f.More)
}

func defaultPage(x *fixture) {
	x.insert(many(101)...)
	f := x.find(store.Query{Messages: &store.MessageQuery{}})
	require.Len(x, f.Messages, 100)
	require.True(x, f.More)
}

func findOneRun(x *fixture) {
	r := fullRun()
	key := x.insertRuns(r, &store.Run{ID: "other", Status: store.Running})[0]
	for _, q := range []store.RunQuery{{Key: key}, {ID: r.ID}} {
		f := x.find(store.Query{Runs: &q})
		require.Len(x, f.Runs, 1)
		requireRun(x, r, f.Runs[0])
		require.False(x, f.More)
	}
	for _, q := range []store.RunQuery{{Key: key + 1000}, {ID: "absent"}} {
		require.Empty(x, x.find(store.Query{Runs: &q}).Runs, "not found is an empty page")
	}
}

// pagesOfRuns pages through what q asks for, three at a time.
func pagesOfRuns(x *fixture, q store.RunQuery) []int64 {
	x.Helper()
	got := []int64{}
	for {
		f := x.find(store.Query{Runs: &q, Limit: 3})
		require.LessOrEqual(x, len(f.Runs), 3)
		got = append(got, keysOf(f.Runs)...)
		if !f.More {
			return got
		}
		require.Len(x, f.Runs, 3)
		q.After = got[len(got)-1]
	}
}

func reversed(list []int64) []int64 {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

func pageRuns(x *fixture) {
	var runs []*store.Run
	for i := range 9 {
		runs = append(runs, &store.Run{ID: label(9 - i), Status: store.Running})
	}
	keys := x.insertRuns(runs...)
	require.Equal(x, keys, pagesOfRuns(x, store.RunQuery{}))
	require.Equal(x, reversed(keys), pagesOfRuns(x, store.RunQuery{Newest: true}))
	f := x.find(store.Query{Runs: &store.RunQuery{After: keys[5]}, Limit: 3})
	require.Equal(x, keys[6:], keysOf(f.Runs))
	require.False(x, f.More)
}

func pageRunsByStatus(x *fixture) {
	states := []store.Status{store.Running, store.Stalled, store.Finished}
	var runs []*store.Run
	for i := range 15 {
		runs = append(runs, &store.Run{ID: label(i), Status: states[i%3]})
	}
	keys := x.insertRuns(runs...)
	var stalled, open []int64
	for i, k := range keys {
		if i%3 == 1 {
			stalled = append(stalled, k)
		}
		if i%3 != 2 {
			open = append(open, k)
		}
	}
	require.Equal(x, stalled, pagesOfRuns(x, store.RunQuery{Status: states[1:2]}))
	require.Equal(x, open, pagesOfRuns(x, store.RunQuery{Status: states[:2]}))
	require.Equal(x, reversed(open), pagesOfRuns(x, store.RunQuery{Status: states[:2], Newest: true}))
	require.Empty(x, pagesOfRuns(x, store.RunQuery{Status: []store.Status{store.Failed}}))

	changed := *runs[0]
	changed.Status = store.Failed
	x.write(&store.Changes{PutRuns: []*store.Run{&changed}})
	require.Equal(x, keys[:1], pagesOfRuns(x, store.RunQuery{Status: []store.Status{store.Failed}}))
}

// pagesOfRows pages through what q asks for, two at a time.
func pagesOfRows(x *fixture, q store.RowQuery) []string {
	x.Helper()
	got := []string{}
	for {
		f := x.find(store.Query{Rows: &q, Limit: 2})
		require.LessOrEqual(x, len(f.Rows), 2)
		got = append(got, namesOf(f.Rows)...)
		if !f.More {
			return got
		}
		require.Len(x, f.Rows, 2)
		require.Less(x, len(got), 100, "paging comes to an end")
		q.AfterOwner, q.After = f.Rows[1].Owner, f.Rows[1].Name
	}
}

// rows commits one row of a kind for each owner and name.
func (x *fixture) rows(kind store.RowKind, owners []string, names ...string) {
	x.Helper()
	c := &store.Changes{}
	for _, owner := range owners {
		for _, name := range names {
			key := store.RowKey{Kind: kind, Owner: owner, Name: name}
			c.PutRows = append(c.PutRows, &store.Row{RowKey: key, Body: []byte(owner)})
		}
	}
	x.write(c)
}

func pageRows(x *fixture) {
	x.rows(store.Attempt, []string{"b", "a", "ab"}, "3", "1", "4", "2")
	x.rows(store.Dead, []string{"a"}, "0")
	require.Equal(x, []string{"a/1", "a/2", "a/3", "a/4"}, pagesOfRows(x, store.RowQuery{Kind: store.Attempt, Owner: "a"}))
	require.Equal(x, []string{"a/4", "a/3", "a/2", "a/1"}, pagesOfRows(x, store.RowQuery{Kind: store.Attempt, Owner: "a", Newest: true}))
	require.Equal(x, []string{"b/3", "b/4"}, pagesOfRows(x, store.RowQuery{Kind: store.Attempt, Owner: "b", After: "2"}))
	require.Equal(x, []string{"b/1"}, pagesOfRows(x, store.RowQuery{Kind: store.Attempt, Owner: "b", After: "2", Newest: true}))
	require.Empty(x, pagesOfRows(x, store.RowQuery{Kind: store.Attempt, Owner: "c"}))
	require.Empty(x, pagesOfRows(x, store.RowQuery{Kind: store.Edit, Owner: "a"}))
}

func pageAllOwners(x *fixture) {
	x.rows(store.Attempt, []string{"b", "", "a", "ab"}, "2", "1", "3")
	x.rows(store.Dead, []string{"a"}, "0")
	want := []string{"/1", "/2", "/3", "a/1", "a/2", "a/3", "ab/1", "ab/2", "ab/3", "b/1", "b/2", "b/3"}
	require.Equal(x, want, pagesOfRows(x, store.RowQuery{Kind: store.Attempt, AllOwners: true}))
	rest := store.RowQuery{Kind: store.Attempt, AllOwners: true, AfterOwner: "ab", After: "2"}
	require.Equal(x, want[8:], pagesOfRows(x, rest))
}

func pageEmptyNames(x *fixture) {
	x.rows(store.Lock, []string{"c", "a", "e", "b", "d"}, "")
	require.Equal(x, []string{"a/", "b/", "c/", "d/", "e/"}, pagesOfRows(x, store.RowQuery{Kind: store.Lock, AllOwners: true}))
	require.Equal(x, []string{"c/"}, pagesOfRows(x, store.RowQuery{Kind: store.Lock, Owner: "c"}))
	require.Equal(x, []string{"c/"}, pagesOfRows(x, store.RowQuery{Kind: store.Lock, Owner: "c", Newest: true}))
}
