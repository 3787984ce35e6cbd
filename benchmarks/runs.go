package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

// drive starts as many runs as the record has, from the bench's clients, and
// waits for their ends; the task is their first step.
func (r *rig) drive(ctx context.Context, rec *record, first saga.Task[payload]) (line, error) {
	n := len(rec.ended)
	runs := make([]saga.Run, n)
	m, err := measure(func() error {
		err := share(ctx, r.bench.clients, n, func(ctx context.Context, i int) (err error) {
			runs[i], err = saga.Start(ctx, r, first, newPayload(i, 0), saga.ID(rec.id(i)))
			return err
		})
		if err != nil {
			return err
		}
		return ends(ctx, rec, runs)
	})
	if err != nil {
		return line{}, err
	}
	l := m.line(n, n*rec.steps)
	l.Duplicates, l.Losses = rec.faults()
	return l, r.audit(ctx, rec, &l)
}

// ends waits for the ends of all runs. A run's end is stored soon after its
// last step was entered, and only as many as handlers run at once can be open
// when all were: those are asked for.
func ends(ctx context.Context, rec *record, runs []saga.Run) error {
	if err := rec.wait(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, i := range rec.tail(concurrency) {
		if err := runs[i].Result(ctx, nil); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// audit reads the runs of a record: how long they took, by the store's clock,
// and whether they are finished. Each that is not is a loss.
func (r *rig) audit(ctx context.Context, rec *record, l *line) error {
	n := len(rec.ended)
	finished := make([]sample, 0, n)
	err := eachRun(ctx, r, rec, func(run *store.Run) error {
		if run.Status == store.Finished {
			finished = append(finished, lasted(run))
		}
		return nil
	})
	l.Losses += n - len(finished)
	l.timeline(finished)
	return err
}

// lasted is how long a run took, by the store's clock.
func lasted(run *store.Run) sample {
	return sample{run.Ended.Time(), run.Ended.Sub(run.Started)}
}

// finder reads a store.
type finder interface {
	Find(ctx context.Context, q store.Query) (store.Found, error)
}

// eachRun reads the runs of a record that a store has.
func eachRun(ctx context.Context, r finder, rec *record, each func(*store.Run) error) error {
	q := store.RunQuery{}
	for {
		found, err := r.Find(ctx, store.Query{Runs: &q, Limit: 1000})
		if err != nil {
			return fmt.Errorf("read the runs: %w", err)
		}
		for _, run := range found.Runs {
			q.After = run.Key
			if strings.HasPrefix(run.ID, rec.name) {
				if err := each(run); err != nil {
					return err
				}
			}
		}
		if !found.More {
			return nil
		}
	}
}
