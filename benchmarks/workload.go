package main

import (
	"context"
	"runtime/pprof"
	"slices"
)

// workload is something to measure.
type workload struct {
	name  string
	n     int  // runs or jobs, when the command line says nothing
	alone bool // it uses no store, and is measured once for all
	run   func(ctx context.Context, b *bench) (line, error)
}

// workloads in the order in which they are told and run.
var workloads []workload

func init() {
	workloads = []workload{
		{name: "plain", n: 20_000, alone: true, run: plain},
		{name: "chain3", n: 20_000, run: chain3},
		{name: "fork10", n: 5_000, run: fork10},
		{name: "jobs-single", n: 20_000, run: jobsSingle},
		{name: "jobs-bulk", n: 50_000, run: jobsBulk},
		{name: "hop", n: 500, run: hop},
		{name: "parked", n: 20_000, run: parked},
		{name: "bigfork", n: 100_000, run: bigfork},
		{name: "later", n: 1_000_000, run: later},
	}
}

// on returns the stores that the workload is to be measured on.
func (w workload) on(stores []string) []string {
	if w.alone {
		return []string{"none"}
	}
	return stores
}

// median measures a workload some times, each time after the store's limit,
// and returns the measurement whose ratio is in the middle. It has the
// duplicates and losses of all of them.
func median(ctx context.Context, w workload, b *bench, times int) (line, error) {
	var all []line
	duplicates, losses := 0, 0
	for range times {
		l, err := once(ctx, w, b)
		if err != nil {
			return line{}, err
		}
		duplicates += l.Duplicates
		losses += l.Losses
		all = append(all, l)
	}
	slices.SortFunc(all, func(x, y line) int {
		if x.Ratio != y.Ratio {
			return compare(x.Ratio, y.Ratio)
		}
		return compare(x.StepsPerS, y.StepsPerS)
	})
	l := all[(len(all)-1)/2]
	l.Duplicates, l.Losses = duplicates, losses
	return l, nil
}

// once measures a workload, right after the limit of its store.
func once(ctx context.Context, w workload, b *bench) (l line, err error) {
	var top float64
	if !w.alone {
		pprof.Do(ctx, pprof.Labels("workload", "limit"), func(ctx context.Context) { top, err = limit(ctx, b) })
	}
	if err != nil {
		return l, err
	}
	pprof.Do(ctx, pprof.Labels("workload", w.name), func(ctx context.Context) { l, err = w.run(ctx, b) })
	if err != nil {
		return l, err
	}
	l.Workload, l.N = w.name, b.n
	if !w.alone {
		l.Store, l.Transport = redacted(b.store), b.transport
	}
	if l.Transport == "" {
		l.Transport = "native"
	}
	if top > 0 {
		l.Limit, l.Ratio = top, l.StepsPerS/top
	}
	return l, nil
}
