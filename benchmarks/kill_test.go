package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

func TestKilledWorkersLoseNothing(t *testing.T) {
	for _, l := range lines(t, "-kill", "-store", "sqlite:", "-n", "400", "-killevery", "50ms", "-workload", "chain3") {
		require.Equal(t, "chain3-kill", l["workload"])
		require.EqualValues(t, 0, l["duplicates"])
		require.EqualValues(t, 0, l["losses"])
		require.Positive(t, l["kills"])
		require.Positive(t, l["steps_per_s"])
	}
}

func TestOneOfTwoIsKilled(t *testing.T) {
	l := lines(t, "-workload", "two", "-store", "sqlite:", "-n", "300", "-lease", "2s")[0]
	require.EqualValues(t, 1, l["kills"])
	require.EqualValues(t, 0, l["losses"])
	require.InDelta(t, number(l, "steps_per_s")/number(l, "alone_per_s"), l["gain"], 1e-6)
	require.LessOrEqual(t, number(l, "stall_ms"), number(l, "lease_ms"))
}

func TestMemoryHasNoOtherProcesses(t *testing.T) {
	for _, w := range killable() {
		require.Empty(t, w.on([]pair{{"memory:", native}}))
	}
}

// The audit of killed workers counts what a store shows.
func TestTheAuditTellsFaults(t *testing.T) {
	ctx := t.Context()
	b := &bench{dir: t.TempDir(), pair: pair{"sqlite:", native}, store: "sqlite:", clients: 2}
	r, err := b.open(ctx)
	require.NoError(t, err)
	defer r.close()
	rec := newRecord(2, chain3Steps)
	first := bindChain3(r, r.service, rec.enter)
	require.NoError(t, r.start(ctx))
	_, err = r.drive(ctx, rec, first)
	require.NoError(t, err)

	for _, c := range []struct {
		steps              int // that the workload is said to have
		duplicates, losses int
	}{{chain3Steps, 0, 0}, {chain3Steps - 1, 2, 0}, {chain3Steps + 2, 0, 4}} {
		rec.steps = c.steps
		var l line
		a, err := (&crew{fleet: &fleet{rec: rec}, store: r.Store()}).audit(ctx, &l)
		require.NoError(t, err)
		require.Len(t, a.finished, 2)
		require.Greater(t, a.end, a.begin)
		require.Equal(t, c.duplicates, l.Duplicates)
		require.Equal(t, c.losses, l.Losses)
	}

	err = eachRun(ctx, r, rec, func(run *store.Run) error {
		run.Head[0]++
		_, _, err := (&crew{fleet: &fleet{rec: rec}, store: r.Store()}).steps(ctx, run)
		return err
	})
	require.ErrorContains(t, err, "history does not verify")
}
