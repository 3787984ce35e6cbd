package known

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

func key(name string) store.RowKey { return store.RowKey{Kind: store.Lock, Owner: name} }

func newCache() *Cache[int] {
	c := &Cache[int]{}
	c.Tidy()
	return c
}

// read reads what keys name.
func read(c *Cache[int], keys store.Keys) (*store.Snapshot, Marks[int], bool) {
	snap := &store.Snapshot{}
	marks, ok := c.Read(&keys, snap)
	return snap, marks, ok
}

// What was written is known under its mark; rows that were not are taken to be
// absent, runs are not known.
func TestCacheKnowsWhatWasWritten(t *testing.T) {
	c := newCache()
	run := &store.Run{Key: 7, ID: "seven", Status: store.Running}
	row := &store.Row{RowKey: key("a"), Body: []byte("1")}
	c.Wrote(3, &store.Changes{PutRuns: []*store.Run{run}, PutRows: []*store.Row{row}})

	snap, marks, ok := read(c, store.Keys{Runs: []int64{7, 7}, RunIDs: []string{"seven", "eight"}, Rows: []store.RowKey{key("a"), key("b"), key("a")}})
	require.True(t, ok)
	require.Same(t, run, snap.Runs[7])
	require.Same(t, run, snap.RunIDs["seven"])
	require.Contains(t, snap.RunIDs, "eight")
	require.Nil(t, snap.RunIDs["eight"])
	require.Same(t, row, snap.Rows[key("a")])
	require.Contains(t, snap.Rows, key("b"))
	require.Nil(t, snap.Rows[key("b")])
	require.Equal(t, []Standing[int64, int]{{7, 3}}, marks.Runs)
	require.Equal(t, []Standing[store.RowKey, int]{{key("a"), 3}, {key("b"), 0}}, marks.Rows)

	_, _, ok = read(c, store.Keys{Runs: []int64{8}})
	require.False(t, ok, "a run that is not known must be read")

	_, marks, ok = read(c, store.Keys{RunIDs: []string{"seven"}})
	require.True(t, ok)
	require.Equal(t, []Standing[int64, int]{{7, 3}}, marks.Runs, "what is known by its id is checked too")
}

func TestCacheForgets(t *testing.T) {
	changes := &store.Changes{
		PutRuns: []*store.Run{{Key: 7, ID: "seven", Status: store.Running}},
		PutRows: []*store.Row{{RowKey: key("a")}},
	}
	runs, rows := store.Keys{Runs: []int64{7}}, store.Keys{Rows: []store.RowKey{key("a")}}
	for name, f := range map[string]struct {
		do       func(c *Cache[int])
		run, row bool // whether reading them is answered
		there    bool // the row
	}{
		"nothing happened":         {func(*Cache[int]) {}, true, true, true},
		"the run was closed":       {func(c *Cache[int]) { c.KeepRun(4, &store.Run{Key: 7, ID: "seven", Status: store.Finished}) }, false, true, true},
		"the row was deleted":      {func(c *Cache[int]) { c.Wrote(4, &store.Changes{DeleteRows: []store.RowKey{key("a")}}) }, true, true, false},
		"the commit failed":        {func(c *Cache[int]) { c.Failed(3, changes) }, false, false, false},
		"an older commit failed":   {func(c *Cache[int]) { c.Failed(2, changes) }, true, false, false},
		"a commit is in doubt":     {func(c *Cache[int]) { c.Doubt(changes) }, false, false, false},
		"doubt ended":              {func(c *Cache[int]) { c.Doubt(changes); c.Wrote(5, changes) }, true, true, true},
		"the id was forgotten":     {func(c *Cache[int]) { c.DropID("seven") }, false, true, true},
		"another id was forgotten": {func(c *Cache[int]) { c.DropID("eight") }, true, true, true},
		"everything was forgotten": {func(c *Cache[int]) { c.Clear() }, false, true, false},
		"there was too much of it": {func(c *Cache[int]) {
			c.KeepRow(4, &store.Row{RowKey: key("b"), Body: make([]byte, mostBytes)})
			c.Tidy()
		}, false, true, false},
		"what was too much is gone": {func(c *Cache[int]) {
			c.KeepRow(4, &store.Row{RowKey: key("b"), Body: make([]byte, mostBytes)})
			c.DropRow(key("b"))
			c.Tidy()
		}, true, true, true},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			c := newCache()
			c.Wrote(3, changes)
			f.do(c)
			_, _, ok := read(c, runs)
			require.Equal(t, f.run, ok)
			snap, _, ok := read(c, rows)
			require.Equal(t, f.row, ok)
			require.Equal(t, f.there, ok && snap.Rows[key("a")] != nil)
		})
	}
}

// After wrong guesses in a row, more and more commits read; when guesses are
// right again, fewer.
func TestDoubt(t *testing.T) {
	var d Doubt
	skipped := func() (n int) {
		for d.Skip() {
			n++
		}
		return n
	}
	require.Zero(t, skipped())
	for _, want := range []int{1, 3, 7, 15, 31, 63, 63} {
		d.Wrong()
		require.Equal(t, want, skipped())
	}
	for range 6 {
		d.Right()
	}
	d.Wrong()
	require.Equal(t, 1, skipped())
}
