package main

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"
)

// patience is how long nothing may happen before what is missing is lost.
const patience = 20 * time.Second

// record is the handlers' own record: how often each step of each run was
// entered. It is safe for concurrent use.
type record struct {
	name    string // begins the ids of its runs, and of no others
	steps   int
	counts  []atomic.Uint32 // by run, then step
	missing atomic.Int64    // steps that were not entered yet
	all     chan struct{}   // closed when none is missing
	ended   []int32         // runs in the order in which their last steps were entered
	ends    atomic.Int64
}

func newRecord(runs, steps int) *record {
	r := &record{
		name: token() + "-", steps: steps, counts: make([]atomic.Uint32, runs*steps),
		all: make(chan struct{}), ended: make([]int32, runs),
	}
	r.missing.Store(int64(runs * steps))
	return r
}

// id is that of a run.
func (r *record) id(run int) string { return runID(r.name, run) }

func runID(name string, run int) string { return name + strconv.Itoa(run) }

// enter notes that a step of a run is carried out.
func (r *record) enter(run, step int) { r.first(run, step) }

// first is enter, and reports whether it is the first time.
func (r *record) first(run, step int) bool {
	if r.counts[run*r.steps+step].Add(1) > 1 {
		return false
	}
	if step == r.steps-1 {
		r.ended[r.ends.Add(1)-1] = int32(run)
	}
	if r.missing.Add(-1) == 0 {
		close(r.all)
	}
	return true
}

// wait blocks until each step was entered. It gives up when for some time
// none was: what is missing then is for faults to tell.
func (r *record) wait(ctx context.Context) error {
	t := time.NewTicker(patience)
	defer t.Stop()
	return r.waitTicks(ctx, t.C)
}

func (r *record) waitTicks(ctx context.Context, ticks <-chan time.Time) error {
	for before := int64(-1); ; {
		select {
		case <-r.all:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks:
			now := r.missing.Load()
			if now == before {
				return nil
			}
			before = now
		}
	}
}

// waitEnds blocks until so many runs have entered their last step.
func (r *record) waitEnds(ctx context.Context, n int64) error {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	for begun := time.Now(); r.ends.Load() < n; {
		if time.Since(begun) > 10*patience {
			return errors.New("the runs do not get on")
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// tail returns the runs whose last steps were entered last, at most n of them.
func (r *record) tail(n int) []int32 {
	ended := r.ended[:r.ends.Load()]
	return ended[max(0, len(ended)-n):]
}

// faults counts the steps that were entered more than once, and those that
// never were.
func (r *record) faults() (duplicates, losses int) {
	for i := range r.counts {
		switch n := int(r.counts[i].Load()); n {
		case 0:
			losses++
		default:
			duplicates += n - 1
		}
	}
	return duplicates, losses
}
