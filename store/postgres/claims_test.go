package postgres

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// Commits of one process that are about the same wait for each other, and only
// those.
func TestClaims(t *testing.T) {
	about := store.Keys{Runs: []int64{1, 1}, RunIDs: []string{"a"}, Rows: []store.RowKey{key("a")}}
	for name, c := range map[string]struct {
		keys  store.Keys
		waits bool
	}{
		"run":           {store.Keys{Runs: []int64{2, 1}}, true},
		"id":            {store.Keys{RunIDs: []string{"a"}}, true},
		"row":           {store.Keys{Rows: []store.RowKey{key("b"), key("a")}}, true},
		"free of a run": {store.Keys{Free: []store.Free{{Run: 1}}}, true},
		"name in a run": {store.Keys{Named: []store.Named{{Run: 1, Name: "n"}}}, true},
		"others":        {store.Keys{Runs: []int64{2}, RunIDs: []string{"b"}, Rows: []store.RowKey{key("b")}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			all := newClaims()
			first, err := all.take(t.Context(), &about)
			require.NoError(t, err)
			ended, end := context.WithCancel(t.Context())
			end()
			second, err := all.take(ended, &c.keys)
			if !c.waits {
				require.NoError(t, err)
				all.release(second)
				all.release(first)
				return
			}
			require.ErrorIs(t, err, context.Canceled)
			all.release(second) // of none
			got := make(chan *claim)
			go func() {
				mine, err := all.take(t.Context(), &c.keys)
				require.NoError(t, err)
				got <- mine
			}()
			all.release(first)
			all.release(<-got)
			require.Empty(t, all.runs)
			require.Empty(t, all.ids)
			require.Empty(t, all.rows)
		})
	}
}
