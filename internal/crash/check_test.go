package crash

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/doctor"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// check looks at what is left of all runs: rows that contradict each other,
// histories that do not verify, steps that were stored twice or not at all.
func check(ctx context.Context, t testing.TB, r *router.Router, runs int) {
	t.Helper()
	report, err := doctor.Examine(ctx, r.Store(), doctor.Options{})
	require.NoError(t, err)
	require.Empty(t, report.Faults())
	records := readRecords(ctx, t, r)
	want := map[string]sums{}
	for i := range runs {
		checkRun(ctx, t, r, i, records[runID(i)])
		name := "shop/ledger/ledger-" + string(rune('0'+i%4))
		s := want[name]
		want[name] = sums{s.Count + 1, s.Sum + i}
	}
	for name, s := range want {
		var got sums
		require.NoError(t, json.Unmarshal(runRow(ctx, t, r, name).State, &got))
		require.Equal(t, s, got, "no update is lost, and none is made twice")
	}
}

// readRecords returns how often each task of each run has recorded a step.
func readRecords(ctx context.Context, t testing.TB, r *router.Router) map[string]map[string]int {
	t.Helper()
	found, err := r.DB().QueryContext(ctx, "SELECT run, task, count(*) FROM records GROUP BY run, task")
	require.NoError(t, err)
	defer found.Close()
	out := map[string]map[string]int{}
	for found.Next() {
		var run, task string
		var n int
		require.NoError(t, found.Scan(&run, &task, &n))
		if out[run] == nil {
			out[run] = map[string]int{}
		}
		out[run][task] = n
	}
	require.NoError(t, found.Err())
	return out
}

func runRow(ctx context.Context, t testing.TB, r *router.Router, id string) *store.Run {
	t.Helper()
	found, err := r.Find(ctx, store.Query{Runs: &store.RunQuery{ID: id}})
	require.NoError(t, err)
	require.Len(t, found.Runs, 1, id)
	return found.Runs[0]
}

// checkRun compares a run's records with its history, and both with the plan.
func checkRun(ctx context.Context, t testing.TB, r *router.Router, i int, records map[string]int) {
	t.Helper()
	steps, fired := history(ctx, t, r, runRow(ctx, t, r, runID(i)))
	for _, task := range []string{"order", "picked", "charge", "ship", "undo"} {
		require.Equal(t, steps["shop/"+task], records[task], "run %d: steps of %s stored, and its own writes", i, task)
	}
	require.Zero(t, records["expired"])
	require.Equal(t, 1, records["order"])
	if fails(i) {
		require.Zero(t, records["ship"])
		require.Equal(t, 1+records["charge"], records["undo"], "run %d: each undo that was registered", i)
		return
	}
	require.Equal(t, map[string]int{"order": 1, "picked": 1, "charge": 1, "ship": 1}, records, "run %d", i)
	require.Equal(t, width(i), steps["shop/pick"], "run %d", i)
	require.Len(t, fired, 2, "run %d: joins", i)
}

// history returns how many steps of each task a run's history has, and how
// often each join fired: once. No message has two outcomes.
func history(ctx context.Context, t testing.TB, r *router.Router, run *store.Run) (steps, fired map[string]int) {
	t.Helper()
	found, err := r.Find(ctx, store.Query{
		Rows: &store.RowQuery{Kind: store.Page, Owner: step.Owner(run.Key, "")}, Limit: 100_000,
	})
	require.NoError(t, err)
	pages := make([]step.PageRow, len(found.Rows))
	for i, row := range found.Rows {
		require.NoError(t, store.Unmarshal(row.Body, &pages[i]))
	}
	entries, err := step.Verify(run, pages)
	require.NoError(t, err)
	steps, fired = map[string]int{}, map[string]int{}
	seen := map[string]bool{}
	for _, e := range entries {
		for _, name := range e.Fired {
			fired[name]++
			require.Equal(t, 1, fired[name], "run %s: join %s", run.ID, name)
		}
		if e.Kind != "step" {
			continue
		}
		require.False(t, seen[e.Message], "run %s: message %s has two outcomes", run.ID, e.Message)
		seen[e.Message] = true
		steps[e.Task]++
	}
	return steps, fired
}
