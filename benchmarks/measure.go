package main

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

func compare(x, y float64) int { return cmp.Compare(x, y) }

// collectSeldom has Go collect garbage when there is four times as much of it as
// of what is in use, unless GOGC says otherwise: a few megabytes are in use here,
// and to collect as often as by default takes up to a fifth of the processor. It
// returns what undoes it.
func collectSeldom() (undo func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(400)
	return func() { debug.SetGCPercent(before) }
}

// shareProcessors leaves half of the processors to a store's server on this
// machine, unless GOMAXPROCS says otherwise: Go takes all of them whenever several
// messages come at once, and the server then waits for its turn while all wait
// for the server. Where that is not so, or beside a broker, there is no telling
// who needs how many. It returns what undoes it.
func shareProcessors(b *bench) (undo func()) {
	if os.Getenv("GOMAXPROCS") != "" || b.pair.brokered() || !served(b.store) {
		return func() {}
	}
	before := runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	return func() { runtime.GOMAXPROCS(before) }
}

// served reports whether a store is on a server of this machine.
func served(store string) bool {
	u, err := url.Parse(store)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "redis" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip.IsLoopback()
}

// measured is what something cost.
type measured struct {
	elapsed, cpu  time.Duration
	allocs, bytes uint64
}

// measure runs fn.
func measure(fn func() error) (measured, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begun, cpu := time.Now(), cpuTime()
	err := fn()
	m := measured{elapsed: time.Since(begun), cpu: cpuTime() - cpu}
	runtime.ReadMemStats(&after)
	m.allocs, m.bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	return m, err
}

// line tells m for so many runs and steps.
func (m measured) line(runs, steps int) line {
	s := m.elapsed.Seconds()
	return line{
		RunsPerS: float64(runs) / s, StepsPerS: float64(steps) / s, Seconds: s,
		CPUPerStep:    float64(m.cpu.Nanoseconds()) / 1e3 / float64(steps),
		AllocsPerStep: float64(m.allocs) / float64(steps), BytesPerStep: float64(m.bytes) / float64(steps),
	}
}

// share has so many clients call fn for each number below n, and returns the
// first error.
func share(ctx context.Context, clients, n int, fn func(ctx context.Context, i int) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := fn(ctx, i); err != nil {
					fail(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}
