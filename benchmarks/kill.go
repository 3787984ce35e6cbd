package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/millrace-go/millrace/doctor"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// killing says how -kill kills.
type killing struct {
	on    bool
	every time.Duration
	lease time.Duration
	own   *ownServers
}

// killSuffix ends the names of workloads that were measured with -kill.
const killSuffix = "-kill"

// killProcesses are how many worker processes -kill has at a time.
const killProcesses = 2

// killable are the workloads that worker processes can do, measured while
// they are killed.
func killable() []workload {
	var out []workload
	for _, w := range workloads {
		if w.bind == nil {
			continue
		}
		bare := w
		w.chain, w.fits = false, onDisk
		w.run = func(ctx context.Context, b *bench) (line, error) { return killed(ctx, b, bare) }
		out = append(out, w)
	}
	return out
}

// onDisk fits stores that outlive a process.
func onDisk(p pair) bool { return scheme(p.store) != "memory" }

// killed measures a workload in worker processes, of which one is killed at
// intervals and another one started. Every third time the broker is killed
// and started as well.
func killed(ctx context.Context, b *bench, w workload) (line, error) {
	c, err := b.crew(ctx, w, killProcesses, b.n)
	if err != nil {
		return line{}, err
	}
	defer c.close()
	close(c.off)
	killing, stop := context.WithCancel(ctx)
	var restarts int
	kills := make(chan error, 1)
	go func() {
		var err error
		restarts, err = c.killEvery(killing, b)
		kills <- err
	}()
	err = c.wait(ctx)
	stop()
	if err = errors.Join(err, <-kills); err != nil {
		return line{}, err
	}
	l, err := c.line(ctx)
	l.Restarts = restarts
	return l, err
}

// killEvery kills until ctx ends, and returns how often the broker was
// started again. It lets be until the runs have got on since the last kill:
// who is killed before anything was done would never do anything.
func (c *crew) killEvery(ctx context.Context, b *bench) (restarts int, err error) {
	t := time.NewTicker(b.kill.every)
	defer t.Stop()
	some := int64(len(c.rec.counts)/20 + 1)
	for before := c.rec.missing.Load(); ; {
		select {
		case <-ctx.Done():
			return restarts, nil
		case <-t.C:
		}
		now := c.rec.missing.Load()
		if before-now < some {
			continue
		}
		before = now
		did, err := c.killOnce(ctx, b)
		if did {
			restarts++
		}
		if err != nil {
			return restarts, err
		}
		t.Reset(b.kill.every)
	}
}

// killOnce kills a process, and the broker as well if it is time; then it
// starts both again. It reports whether there was a broker to restart.
func (c *crew) killOnce(ctx context.Context, b *bench) (restarted bool, err error) {
	c.killOldest()
	c.kills++
	if c.kills%3 == 0 && b.kill.own != nil && b.pair.brokered() {
		restarted, err = b.kill.own.restart(scheme(b.pair.transport))
	}
	if err != nil {
		return restarted, err
	}
	if err := c.add(ctx); err != nil && ctx.Err() == nil {
		return restarted, err
	}
	return restarted, nil
}

// crew is a fleet on a place of its own, and a view of its store.
type crew struct {
	*fleet
	place *place
	store store.Store
	lease time.Duration
	kills int
}

// crew starts worker processes on a new place; they are to start n runs.
func (b *bench) crew(ctx context.Context, w workload, processes, n int) (*crew, error) {
	p, err := b.place(ctx)
	if err != nil {
		return nil, err
	}
	c := &crew{place: p, lease: b.kill.lease}
	c.fleet, err = newFleet(assignment{
		Store: p.store, Transport: p.transport, Handover: p.handover, Service: p.service,
		Workload: w.name, Clients: b.clients, Lease: b.kill.lease,
	}, newRecord(n, w.steps))
	if err == nil {
		c.store, err = store.Open(ctx, p.store, store.Options{}) // and makes its schema
	}
	for i := 0; i < processes && err == nil; i++ {
		err = c.add(ctx)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// close ends the processes and drops the place. It may be called after stop.
func (c *crew) close() {
	if c.fleet != nil {
		_ = c.stop()
	}
	if c.store != nil {
		_ = c.store.Close()
	}
	c.place.dropOrTell()
}

// wait blocks until all runs have ended. It gives up when for some time none
// did: what is open then is for the line to tell.
func (c *crew) wait(ctx context.Context) error {
	if err := c.fleet.wait(ctx); err != nil {
		return err
	}
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for begun := time.Now(); time.Since(begun) < patience; {
		open, err := c.store.Find(ctx, store.Query{
			Runs: &store.RunQuery{Status: []store.Status{store.Running, store.Stalled, store.Failing}}, Limit: 1,
		})
		if err == nil && len(open.Runs) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// line ends the processes and tells what the store has. A step is a duplicate
// when a message has two outcomes, or there are more steps than the workload
// has; it is a loss when it has none, and so is a run that is not finished. A
// handler that was killed before its outcome was stored is entered again: that
// is no duplicate, but counted apart. Rows that contradict each other are an
// error.
func (c *crew) line(ctx context.Context) (line, error) {
	if err := c.stop(); err != nil {
		return line{}, err
	}
	l := line{Kills: c.kills, Lease: milliseconds(c.lease)}
	a, err := c.audit(ctx, &l)
	if err != nil {
		return line{}, err
	}
	l.Again, _ = c.rec.faults()
	n := len(c.rec.ended)
	l.Losses += n - len(a.finished)
	l.timeline(a.finished)
	l.Stall = milliseconds(a.longest)
	m := measured{elapsed: max(a.end.Sub(a.begin), time.Microsecond)}
	cost := m.line(n, n*c.rec.steps)
	l.RunsPerS, l.StepsPerS, l.Seconds = cost.RunsPerS, cost.StepsPerS, cost.Seconds
	if err := c.examine(ctx); err != nil {
		return l, fmt.Errorf("%d duplicates, %d losses; %w", l.Duplicates, l.Losses, err)
	}
	return l, nil
}

// examine has doctor look at the store. A few of its findings tell what is
// wrong.
func (c *crew) examine(ctx context.Context) error {
	report, err := doctor.Examine(ctx, c.store, doctor.Options{})
	if err != nil {
		return err
	}
	faults := report.Faults()
	var few []string
	for _, f := range faults[:min(len(faults), 3)] {
		few = append(few, f.String())
	}
	if len(faults) > 0 {
		err = fmt.Errorf("doctor: %d faults: %s", len(faults), strings.Join(few, "; "))
	}
	return err
}

// audited is what the runs in a store show.
type audited struct {
	finished   []sample
	longest    time.Duration
	begin, end store.Instant // of all runs, by the store's clock
}

func (c *crew) audit(ctx context.Context, l *line) (audited, error) {
	var a audited
	err := eachRun(ctx, c.store, c.rec, func(run *store.Run) error {
		if a.begin == 0 || run.Started < a.begin {
			a.begin = run.Started
		}
		if run.Status == store.Finished {
			a.finished = append(a.finished, lasted(run))
			a.end = max(a.end, run.Ended)
			a.longest = max(a.longest, run.Ended.Sub(run.Started))
		}
		duplicates, losses, err := c.steps(ctx, run)
		l.Duplicates += duplicates
		l.Losses += losses
		return err
	})
	return a, err
}

// steps compares a run's history with the steps that its workload has.
func (c *crew) steps(ctx context.Context, run *store.Run) (duplicates, losses int, err error) {
	pages, err := c.pages(ctx, run)
	if err != nil {
		return 0, 0, err
	}
	entries, err := step.Verify(run, pages)
	if err != nil {
		return 0, 0, fmt.Errorf("run %s: %w", run.ID, err)
	}
	all, distinct := 0, map[string]bool{}
	for _, e := range entries {
		if e.Kind == "step" {
			all++
			distinct[e.Message] = true
		}
	}
	duplicates = all - min(len(distinct), c.rec.steps)
	return duplicates, max(0, c.rec.steps-len(distinct)), nil
}

// pages are those parts of a run's history that have rows of their own.
func (c *crew) pages(ctx context.Context, run *store.Run) ([]step.PageRow, error) {
	found, err := c.store.Find(ctx, store.Query{
		Rows: &store.RowQuery{Kind: store.Page, Owner: step.Owner(run.Key, "")}, Limit: 1000,
	})
	if err != nil {
		return nil, err
	}
	pages := make([]step.PageRow, len(found.Rows))
	for i, row := range found.Rows {
		if err := store.Unmarshal(row.Body, &pages[i]); err != nil {
			return nil, err
		}
	}
	return pages, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
