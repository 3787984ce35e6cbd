package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// chains is a line of chain3 with these ratios in its repeats; the last is the
// median.
func chains(store string, ratios ...float64) line {
	l := line{Workload: "chain3", Store: store, Transport: native}
	for _, r := range ratios {
		l.Ratio = r
		l.Repeats = append(l.Repeats, repeat{Ratio: r})
	}
	return l
}

func TestJudging(t *testing.T) {
	for _, c := range []struct {
		before, after line
		want          verdict
	}{
		{chains("s", 0.38, 0.42, 0.40), chains("s", 0.39, 0.43, 0.41), same},
		{chains("s", 0.38, 0.42, 0.40), chains("s", 0.44, 0.47, 0.45), better},
		{chains("s", 0.39, 0.41, 0.40), chains("s", 0.37, 0.38, 0.38), worse},
		{chains("s", 0.39, 0.41, 0.40), chains("s", 0.29, 0.31, 0.30), regressed},
		{chains("s", 0.20, 0.41, 0.40), chains("s", 0.29, 0.31, 0.30), same},
		{chains("s", 0.40), chains("s", 0.37), same},
		{chains("s", 0.40), chains("s", 0.30), regressed},
		{chains("s", 0.40), chains("s", 0.50), better},
	} {
		got := comparison([]line{c.before}, []line{c.after}, 0.1)
		require.Len(t, got, 1)
		require.Equal(t, c.want, got[0].verdict, "%v and %v", c.before.Repeats, c.after.Repeats)
	}
}

func TestComparingFiles(t *testing.T) {
	dir := t.TempDir()
	before, after := filepath.Join(dir, "before.json"), filepath.Join(dir, "after.json")
	lost := chains("redis:", 0.3)
	lost.Losses = 2
	idle := line{Workload: "idle", Store: "postgres:", Transport: native, AlonePerS: 10, Slowdown: 0.2}
	slower := idle
	slower.Slowdown = 0.6
	require.NoError(t, writeLines(before, []line{chains("sqlite:", 0.4), chains("redis:", 0.3), idle, chains("gone:", 1)}))
	require.NoError(t, writeLines(after, []line{
		chains("sqlite:", 0.3), lost, slower,
		{Workload: "chain3", Store: "postgres:", Transport: native, Error: "it is down"},
	}))
	compare := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"-compare"}, args...), &out, &out)
		return out.String(), err
	}
	out, err := compare(before, after)
	require.EqualError(t, err, "it is down\n"+
		"chain3 on sqlite + native: 25 % less of the limit\n"+
		"idle on postgres + native: 50 % less of undisturbed\n"+
		"chain3 on redis + native: 0 duplicates, 2 losses")
	require.Contains(t, out, "only before: chain3 on gone + native")
	require.Contains(t, out, "only after: chain3 on postgres + native")
	require.Contains(t, out, "0.75")
	_, err = compare(before, before)
	require.NoError(t, err)
	_, err = compare(before, filepath.Join(dir, "none.json"))
	require.ErrorContains(t, err, "none.json")
}
