package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/doctor"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// verify waits until nothing is open, and looks at what is left: each message
// has one outcome, each join fired once, no update is lost or made twice, and
// the doctor finds no fault.
func (l *load) verify() {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := l.routers[0].Store()
	l.settled(ctx, s)
	report, err := doctor.Examine(ctx, s, doctor.Options{Looks: 1})
	require.NoError(l, err)
	require.Empty(l, report.Faults(), l.pair)
	require.Empty(l, find(ctx, l, s, store.Query{Rows: &store.RowQuery{Kind: store.Dead, AllOwners: true}}).Rows, "%s: dead letters", l.pair)

	runs := int(l.next.Load())
	want := map[string]sums{}
	for i := range runs {
		l.verifyRun(ctx, s, i)
		name := fmt.Sprintf("%s/ledger/ledger-%d", l.tag, i%ledgers)
		want[name] = sums{want[name].Count + 1, want[name].Sum + i}
	}
	for name, sum := range want {
		var got sums
		require.NoError(l, json.Unmarshal(row(ctx, l, s, name).State, &got))
		require.Equal(l, sum, got, "%s: %s: no update is lost, and none is made twice", l.pair, name)
	}
	l.Logf("%s: %d runs", l.pair, runs)
}

// settled waits until no message is open.
func (l *load) settled(ctx context.Context, s store.Store) {
	l.Helper()
	ask := time.NewTicker(20 * time.Millisecond)
	defer ask.Stop()
	for {
		found, err := s.Find(ctx, store.Query{Messages: &store.MessageQuery{}, Limit: 100})
		if err == nil && len(found.Messages) == 0 {
			return
		}
		select {
		case <-ask.C:
		case <-ctx.Done():
			l.dump()
			l.Fatalf("%s: %d messages stay open: %v", l.pair, len(found.Messages), err)
		}
	}
}

// verifyRun compares a run's history with the plan.
func (l *load) verifyRun(ctx context.Context, s store.Store, i int) {
	l.Helper()
	steps, fired := l.history(ctx, s, row(ctx, l, s, l.runID(i)))
	of := func(task string) int { return steps[l.tag+"/"+task] }
	require.Equal(l, 1, of("order"), "%s: run %d", l.pair, i)
	require.Zero(l, of("expired"), "%s: run %d", l.pair, i)
	if fails(i) {
		require.Zero(l, of("ship"), "%s: run %d", l.pair, i)
		require.Equal(l, 1+of("charge"), of("undo"), "%s: run %d: each undo that was registered", l.pair, i)
		return
	}
	require.Equal(l, width(i), of("pick"), "%s: run %d", l.pair, i)
	for _, task := range []string{"picked", "charge", "remind", "ship"} {
		require.Equal(l, 1, of(task), "%s: run %d: %s", l.pair, i, task)
	}
	require.Len(l, fired, 2, "%s: run %d: joins", l.pair, i)
}

// history returns how many steps of each task a run's history has, and how
// often each join fired: once. No message has two outcomes.
func (l *load) history(ctx context.Context, s store.Store, run *store.Run) (steps, fired map[string]int) {
	l.Helper()
	found := find(ctx, l, s, store.Query{Rows: &store.RowQuery{Kind: store.Page, Owner: step.Owner(run.Key, "")}, Limit: 10_000})
	pages := make([]step.PageRow, len(found.Rows))
	for i, row := range found.Rows {
		require.NoError(l, store.Unmarshal(row.Body, &pages[i]))
	}
	entries, err := step.Verify(run, pages)
	require.NoError(l, err)
	steps, fired = map[string]int{}, map[string]int{}
	seen := map[string]bool{}
	for _, e := range entries {
		for _, name := range e.Fired {
			fired[name]++
			require.Equal(l, 1, fired[name], "%s: run %s: join %s", l.pair, run.ID, name)
		}
		switch e.Kind {
		case "step":
			require.False(l, seen[e.Message], "%s: run %s: message %s has two outcomes", l.pair, run.ID, e.Message)
			seen[e.Message] = true
			steps[e.Task]++
		case "attempt": // a fault is none (R5)
			require.Equal(l, l.tag+"/pick", e.Task, "%s: run %s: an attempt: %s", l.pair, run.ID, e.Error)
		}
	}
	return steps, fired
}

func find(ctx context.Context, t testing.TB, s store.Store, q store.Query) store.Found {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 1000
	}
	found, err := s.Find(ctx, q)
	require.NoError(t, err)
	return found
}

func row(ctx context.Context, t testing.TB, s store.Store, id string) *store.Run {
	t.Helper()
	found := find(ctx, t, s, store.Query{Runs: &store.RunQuery{ID: id}})
	require.Len(t, found.Runs, 1, id)
	return found.Runs[0]
}
