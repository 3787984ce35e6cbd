package main

import (
	"context"
	"runtime"
	"runtime/pprof"
	"slices"

	"github.com/millrace-go/millrace/saga"
)

// workload is something to measure.
type workload struct {
	name  string
	n     int  // runs, jobs or messages, when the command line says nothing
	alone bool // it uses no store, and is measured once for each broker
	chain bool // a plain Router does the same, and is measured beside it
	heap  bool // it measures memory
	waits bool // each step waits for the one before, and so for the store
	run   func(ctx context.Context, b *bench) (line, error)
	fits  func(p pair) bool // where it can be measured; nil: everywhere

	// What worker processes need, for -kill; without, it can't be measured so.
	steps int
	bind  func(h saga.Host, service string, enter func(run, step int)) saga.Task[payload]
}

// workloads in the order in which they are told and run.
var workloads []workload

func init() {
	workloads = []workload{
		{name: "plain", n: 20_000, alone: true, run: plain},
		{name: "chain3", n: 20_000, chain: true, waits: true, run: chain3, steps: chain3Steps, bind: bindChain3},
		{name: "fork10", n: 5_000, run: fork10, steps: fork10Steps, bind: bindFork10},
		{name: "jobs-single", n: 20_000, run: jobsSingle},
		{name: "jobs-bulk", n: 50_000, run: jobsBulk},
		{name: "hop", n: 500, waits: true, run: hop},
		{name: "parked", n: 20_000, heap: true, run: parked},
		{name: "bigfork", n: 100_000, heap: true, run: bigfork},
		{name: "later", n: 1_000_000, waits: true, run: later},
		{name: "idle", n: 1_000_000, waits: true, run: idle, fits: onPostgres},
		{name: "two", n: 20_000, run: two, fits: onDisk},
	}
}

// matrixWorkloads are those of -matrix: what differs most between pairs, and
// takes seconds.
const matrixWorkloads = "plain,chain3,fork10,jobs-bulk,hop"

// on returns the pairs that the workload is to be measured on.
func (w workload) on(pairs []pair) []pair {
	if w.alone {
		return alone(pairs)
	}
	if w.fits == nil {
		return pairs
	}
	var out []pair
	for _, p := range pairs {
		if w.fits(p) {
			out = append(out, p)
		}
	}
	return out
}

// alone has a pair for each broker of pairs, and one for none. The store is
// there for the broker that needs one.
func alone(pairs []pair) []pair {
	out := []pair{overGoChannel}
	for _, p := range pairs {
		known := slices.ContainsFunc(out, func(o pair) bool { return o.transport == p.transport })
		switch {
		case known || !p.brokered() || scheme(p.transport) == "memory":
		case scheme(p.transport) == "watermill-sql":
			out = append(out, p)
		default:
			out = append(out, pair{overGoChannel.store, p.transport})
		}
	}
	return out
}

// median measures a workload some times, each time beside the store's limit,
// and returns the measurement whose ratio is in the middle. It has the
// duplicates and losses of all of them.
func median(ctx context.Context, w workload, b *bench, times int) (line, error) {
	var all []line
	var repeats []repeat
	duplicates, losses := 0, 0
	for range times {
		l, err := w.once(ctx, b)
		if err != nil {
			return line{}, err
		}
		duplicates += l.Duplicates
		losses += l.Losses
		all = append(all, l)
		repeats = append(repeats, l.repeat())
	}
	slices.SortStableFunc(all, func(x, y line) int {
		if x.Ratio != y.Ratio {
			return compare(x.Ratio, y.Ratio)
		}
		return compare(x.StepsPerS, y.StepsPerS)
	})
	l := all[(len(all)-1)/2]
	l.Duplicates, l.Losses, l.Repeats = duplicates, losses, repeats
	return l, nil
}

// once measures a workload, and right before and right after it what it is held
// against: what a machine gives changes within seconds.
func (w workload) once(ctx context.Context, b *bench) (line, error) {
	if !w.heap {
		defer collectSeldom()()
	}
	if w.waits {
		defer shareProcessors(b)()
	}
	before, err := w.heldAgainst(ctx, b)
	if err != nil {
		return line{}, err
	}
	l, err := labelled(ctx, w.name, b, w.run)
	if err != nil {
		return l, err
	}
	after, err := w.heldAgainst(ctx, b)
	if err != nil {
		return l, err
	}
	w.tell(&l, b)
	if top := (before.limit + after.limit) / 2; top > 0 {
		l.Limit, l.Ratio = top, l.StepsPerS/top
	}
	if bare := (before.plain + after.plain) / 2; bare > 0 {
		l.Plain, l.PlainRatio = bare, l.StepsPerS/bare
	}
	return l, nil
}

// sticks are what is measured with: steps in a second; 0 where there is nothing to compare.
type sticks struct {
	limit float64 // of the store
	plain float64 // of a plain Router over the broker
}

func (w workload) heldAgainst(ctx context.Context, b *bench) (s sticks, err error) {
	if !w.alone {
		s.limit, err = labelled(ctx, "limit", b, limit)
	}
	if err == nil && w.chain {
		s.plain, err = labelled(ctx, "plain", b, plainBeside)
	}
	return s, err
}

// labelled calls fn under a label that profiles show.
func labelled[T any](ctx context.Context, name string, b *bench, fn func(context.Context, *bench) (T, error)) (v T, err error) {
	pprof.Do(ctx, pprof.Labels("workload", name), func(ctx context.Context) { v, err = fn(ctx, b) })
	return v, err
}

// tell says in l what was measured, and where.
func (w workload) tell(l *line, b *bench) {
	p := b.pair.labelled()
	if w.alone {
		p.store = overGoChannel.store
	}
	l.Workload = w.name
	if b.kill.on {
		l.Workload += killSuffix
	}
	l.N, l.Store, l.Transport, l.Processors = b.n, p.store, p.transport, runtime.GOMAXPROCS(0)
}
