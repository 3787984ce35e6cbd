package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var purgeChecks = []check{
	{"rows go when their time has passed", purgeRows},
	{"a row's time can be changed", purgeFollowsUntil},
	{"closed runs go with what belongs to them", purgeRuns},
	{"open runs and later ends stay", purgeSpares},
	{"purging goes in pieces to the end", purgeInPieces},
}

// purge purges to the end, and returns how many calls had something to do.
func (x *fixture) purge(p store.Purge) (calls int) {
	x.Helper()
	for {
		n, err := x.store.Purge(x.Context(), p)
		require.NoError(x, err)
		require.LessOrEqual(x, n, p.Limit)
		if n == 0 {
			return calls
		}
		calls++
		require.Less(x, calls, 1000, "purging comes to an end")
	}
}

func (x *fixture) rowUntil(name string, until store.Instant) store.RowKey {
	x.Helper()
	key := store.RowKey{Kind: store.Inbox, Owner: "o", Name: name}
	x.write(&store.Changes{PutRows: []*store.Row{{RowKey: key, Until: until, Body: []byte(name)}}})
	return key
}

func purgeRows(x *fixture) {
	now := x.clock.Instant()
	past, soon, never := x.rowUntil("past", now), x.rowUntil("soon", now.Add(time.Second)), x.rowUntil("never", 0)
	x.purge(store.Purge{Limit: 10})
	require.Nil(x, x.row(past))
	require.NotNil(x, x.row(soon))
	x.clock.Advance(time.Second)
	require.NotNil(x, x.row(soon), "only Purge deletes")
	x.purge(store.Purge{Limit: 10})
	require.Nil(x, x.row(soon))
	require.NotNil(x, x.row(never))
}

func purgeFollowsUntil(x *fixture) {
	soon := x.clock.Instant().Add(time.Second)
	a, b, c := x.rowUntil("a", soon), x.rowUntil("b", soon), x.rowUntil("c", 0)
	x.rowUntil("a", soon.Add(time.Hour))
	x.rowUntil("b", 0)
	x.rowUntil("c", soon)
	x.clock.Advance(time.Minute)
	x.purge(store.Purge{Limit: 10})
	require.NotNil(x, x.row(a))
	require.NotNil(x, x.row(b))
	require.Nil(x, x.row(c))
	x.clock.Advance(2 * time.Hour)
	x.purge(store.Purge{Limit: 10})
	require.Nil(x, x.row(a))
	require.NotNil(x, x.row(b))
}

// ownedRows commits rows that belong to a run, and some that don't.
func (x *fixture) ownedRows(run int64) (gone, kept []store.RowKey) {
	x.Helper()
	owner := store.Num(run)
	for kind := store.Page; kind <= store.Edit; kind++ {
		for _, mine := range []string{"", "/", "/join", "/" + nasty[0], "/~"} {
			gone = append(gone, store.RowKey{Kind: kind, Owner: owner + mine, Name: store.Num(0)})
		}
		gone = append(gone, store.RowKey{Kind: kind, Owner: owner, Name: nasty[0]})
		for _, other := range []string{"x", "0", ".", "!/join", "0/join"} { // on both sides of the slash
			kept = append(kept, store.RowKey{Kind: kind, Owner: owner + other, Name: store.Num(0)})
		}
		kept = append(kept, store.RowKey{Kind: kind, Owner: "x/" + owner, Name: owner})
	}
	c := &store.Changes{}
	for _, key := range append(append([]store.RowKey{}, gone...), kept...) {
		c.PutRows = append(c.PutRows, &store.Row{RowKey: key})
	}
	x.write(c)
	return gone, kept
}

// H4
func purgeRuns(x *fixture) {
	keys := x.insertRuns(&store.Run{ID: "a", Status: store.Finished, Ended: 500}, &store.Run{ID: "b", Status: store.Running})
	gone, kept := x.ownedRows(keys[0])
	of, _ := x.ownedRows(keys[1])
	kept = append(kept, of...)
	x.purge(store.Purge{EndedBefore: 501, Limit: 10})

	s := x.read(store.Keys{Runs: keys, RunIDs: []string{"a", "b"}, Rows: append(append([]store.RowKey{}, gone...), kept...)})
	require.Nil(x, s.Runs[keys[0]])
	require.Nil(x, s.RunIDs["a"])
	require.NotNil(x, s.RunIDs["b"])
	for _, key := range gone {
		require.Nil(x, s.Rows[key], key.String())
	}
	for _, key := range kept {
		require.NotNil(x, s.Rows[key], key.String())
	}
	again := x.insertRuns(&store.Run{ID: "a", Status: store.Running})[0]
	require.Equal(x, again, x.read(store.Keys{RunIDs: []string{"a"}}).RunIDs["a"].Key, "the id is free again")
}

func purgeSpares(x *fixture) {
	keys := x.insertRuns(
		&store.Run{ID: "running", Status: store.Running},
		&store.Run{ID: "failing", Status: store.Failing},
		&store.Run{ID: "later", Status: store.Finished, Ended: 500},
		&store.Run{ID: "no end", Status: store.Failed},
		&store.Run{ID: "failed", Status: store.Failed, Ended: 499},
		&store.Run{ID: "cancelled", Status: store.Cancelled, Ended: 1},
	)
	x.purge(store.Purge{Limit: 10})
	require.Len(x, x.find(store.Query{Runs: &store.RunQuery{}}).Runs, 6, "no time, no runs")
	x.purge(store.Purge{EndedBefore: 500, Limit: 1}) // of one commit, the later ones are not in the way
	require.Equal(x, keys[:4], keysOf(x.find(store.Query{Runs: &store.RunQuery{}}).Runs))
}

func purgeInPieces(x *fixture) {
	var runs []*store.Run
	for i := range 7 {
		runs = append(runs, &store.Run{ID: label(i), Status: store.Finished, Ended: store.Instant(i + 1)})
		x.rowUntil(label(i), 1)
	}
	x.insertRuns(runs...)
	calls := x.purge(store.Purge{EndedBefore: 100, Limit: 2})
	require.GreaterOrEqual(x, calls, 7)
	require.Empty(x, x.find(store.Query{Runs: &store.RunQuery{}}).Runs)
	require.Empty(x, x.find(store.Query{Rows: &store.RowQuery{Kind: store.Inbox, AllOwners: true}}).Rows)
}
