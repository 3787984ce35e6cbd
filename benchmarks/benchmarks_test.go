package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain makes this binary a worker process, if another one says so.
func TestMain(m *testing.M) {
	if job := os.Getenv(workerEnv); job != "" {
		if err := work(context.Background(), job, os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// lines runs the command and decodes what it prints with -json.
func lines(t *testing.T, args ...string) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	args = append([]string{"-json", "-dir", t.TempDir(), "-limitfor", "10ms"}, args...)
	require.NoError(t, run(t.Context(), args, &out, io.Discard))
	var all []map[string]any
	for _, text := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var l map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &l), text)
		all = append(all, l)
	}
	return all
}

func TestWorkloads(t *testing.T) {
	for _, w := range workloads {
		if w.name == "two" {
			continue // it takes some seconds, and has a test of its own
		}
		for _, p := range w.on(product([]string{"memory:", "sqlite:"}, []string{native})) {
			t.Run(w.name+"/"+p.store, func(t *testing.T) {
				got := lines(t, "-workload", w.name, "-store", p.store, "-n", "12", "-clients", "3")
				require.Len(t, got, 1)
				checkSchema(t, got[0])
				require.Equal(t, w.name, got[0]["workload"])
				require.Equal(t, p, pair{text(got[0], "store"), text(got[0], "transport")})
				require.EqualValues(t, 12, got[0]["n"])
				require.EqualValues(t, 0, got[0]["duplicates"])
				require.EqualValues(t, 0, got[0]["losses"])
				require.Positive(t, got[0]["runs_per_s"])
				require.GreaterOrEqual(t, got[0]["steps_per_s"], got[0]["runs_per_s"])
				require.GreaterOrEqual(t, got[0]["p95_ms"], got[0]["p50_ms"])
				require.GreaterOrEqual(t, got[0]["p99_ms"], got[0]["p95_ms"])
				if !w.alone {
					require.Positive(t, got[0]["limit_per_s"])
					require.InDelta(t, number(got[0], "steps_per_s")/number(got[0], "limit_per_s"), got[0]["ratio"], 1e-6)
				}
			})
		}
	}
}

func text(l map[string]any, key string) string {
	v, _ := l[key].(string)
	return v
}

func number(l map[string]any, key string) float64 {
	v, _ := l[key].(float64)
	return v
}

// checkSchema holds a line to the keys and types that readers of -json rely on.
func checkSchema(t *testing.T, l map[string]any) {
	t.Helper()
	for _, key := range []string{"workload", "store", "transport"} {
		require.IsType(t, "", l[key], key)
		require.NotEmpty(t, l[key], key)
	}
	for _, key := range []string{
		"n", "runs_per_s", "steps_per_s", "p50_ms", "p95_ms", "p99_ms", "limit_per_s", "ratio", "duplicates", "losses",
	} {
		require.IsType(t, 0.0, l[key], key)
		require.GreaterOrEqual(t, l[key], 0.0, key)
	}
}

func TestExtras(t *testing.T) {
	for workload, keys := range map[string][]string{
		"jobs-single": {"insert_per_s", "work_per_s"},
		"jobs-bulk":   {"insert_per_s", "work_per_s"},
		"parked":      {"bytes_per_run"},
		"bigfork":     {"heap_mb"},
		"later":       {"alone_per_s", "pending_per_s", "slowdown"},
	} {
		t.Run(workload, func(t *testing.T) {
			n := "600" // more than a call inserts
			if workload == "later" {
				n = "60" // it makes rounds of them
			}
			got := lines(t, "-workload", workload, "-store", "sqlite:", "-n", n)
			for _, key := range keys {
				require.Contains(t, got[0], key)
			}
		})
	}
}

func TestAFileOfTheUsersStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.db")
	for range 2 { // the second time it has the first one's runs
		got := lines(t, "-workload", "chain3,parked,jobs", "-store", "sqlite:"+path+"?synchronous=normal", "-n", "5", "-repeat", "2")
		require.Len(t, got, 4)
		for _, l := range got {
			require.EqualValues(t, 0, l["losses"], l)
		}
	}
	require.FileExists(t, path)
}

func TestNothingIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-dir", dir, "-n", "3", "-workload", "chain3", "-limitfor", "1ms"}, &out, io.Discard))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Contains(t, out.String(), "steps/s")
	require.Equal(t, 3, strings.Count(out.String(), "\n"), "a head and two stores")
}

func TestProfiles(t *testing.T) {
	dir := t.TempDir()
	cpu, mem := filepath.Join(dir, "cpu"), filepath.Join(dir, "mem")
	lines(t, "-n", "3", "-workload", "chain3", "-store", "memory:", "-cpuprofile", cpu, "-memprofile", mem)
	require.FileExists(t, cpu)
	require.FileExists(t, mem)
}

func TestWrongArguments(t *testing.T) {
	for want, args := range map[string][]string{
		`unknown workload "chain4"`:        {"-workload", "chain4"},
		`unexpected argument "chain3"`:     {"chain3"},
		"must not be negative":             {"-n", "-1"},
		`unknown scheme "nosuch"`:          {"-store", "nosuch://x", "-n", "1", "-workload", "hop"},
		`unknown scheme "nobroker"`:        {"-transport", "nobroker:", "-n", "1", "-workload", "hop", "-store", "memory:"},
		"not defined":                      {"-nosuch"},
		`synchronous is "sometimes"`:       {"-store", "sqlite:?synchronous=sometimes", "-n", "1", "-workload", "hop", "-limitfor", "1ms"},
		"/no/such/folder":                  {"-dir", "/no/such/folder"},
		"unknown workload \"\"; known are": {"-workload", "hop,"},
		"no pair of the matrix is left":    {"-matrix", "-store", "memory:", "-transport", "amqp:"},
		"-compare needs two files":         {"-compare", "one.json"},
	} {
		err := run(t.Context(), args, io.Discard, io.Discard)
		require.ErrorContains(t, err, want)
	}
}

func TestRecordTellsFaults(t *testing.T) {
	r := newRecord(3, 2)
	for _, e := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 0}, {1, 0}, {2, 1}} {
		r.enter(e[0], e[1])
	}
	duplicates, losses := r.faults()
	require.Equal(t, 2, duplicates)
	require.Equal(t, 2, losses, "the last step of run 1 and the first of run 2")
	require.Equal(t, []int32{0, 2}, r.tail(10))
	require.Equal(t, []int32{2}, r.tail(1))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.wait(ctx), context.Canceled)
	r.enter(1, 1)
	r.enter(2, 0)
	require.NoError(t, r.wait(t.Context()))
}

func TestRecordGivesUp(t *testing.T) {
	r := newRecord(1, 2)
	r.enter(0, 0)
	ticks := make(chan time.Time, 3)
	for range 3 {
		ticks <- time.Time{}
	}
	require.NoError(t, r.waitTicks(t.Context(), ticks))
	_, losses := r.faults()
	require.Equal(t, 1, losses)
}

func TestFaultsFailTheCommand(t *testing.T) {
	w := workload{name: "faulty", n: 1, alone: true, run: func(context.Context, *bench) (line, error) {
		return line{Duplicates: 1, Losses: 2}, nil
	}}
	o := options{workloads: []workload{w}, repeat: 3, json: true}
	var out bytes.Buffer
	_, err := o.measureAll(t.Context(), t.TempDir(), o.printer(&out))
	require.EqualError(t, err, "faulty on none + gochannel: 3 duplicates, 6 losses")
	require.Contains(t, out.String(), `"duplicates":3,"losses":6`)
}

func TestMedianIsByRatio(t *testing.T) {
	steps := []float64{30, 10, 20}
	w := workload{name: "w", alone: true, run: func(context.Context, *bench) (line, error) {
		l := line{StepsPerS: steps[0]}
		steps = steps[1:]
		return l, nil
	}}
	l, err := median(t.Context(), w, &bench{}, 3)
	require.NoError(t, err)
	require.InDelta(t, 20, l.StepsPerS, 0)
	require.Len(t, l.Repeats, 3)
}

func TestPayloadHas200Bytes(t *testing.T) {
	for _, p := range []payload{newPayload(0, 0), newPayload(99_999, 9), newPayload(0, 100_000)} {
		data, err := json.Marshal(p)
		require.NoError(t, err)
		require.Len(t, data, payloadSize)
	}
}

func TestPercentile(t *testing.T) {
	var d []time.Duration
	for i := range 100 {
		d = append(d, time.Duration(i+1)*time.Millisecond)
	}
	require.InDelta(t, 50, percentile(d, 50), 0)
	require.InDelta(t, 99, percentile(d, 99), 0)
	require.InDelta(t, 7, percentile([]time.Duration{7 * time.Millisecond}, 50), 0)
	require.Zero(t, percentile(nil, 50))
}
