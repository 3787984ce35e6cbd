package main

import (
	"context"
	"os"
	"time"

	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

// parked measures runs that wait in a join, with a deadline in 3 days: what
// they add to the process, and to the store. The times are those of the calls
// that start them.
func parked(ctx context.Context, b *bench) (line, error) {
	r, err := b.open(ctx)
	if err != nil {
		return line{}, err
	}
	defer r.close()
	rec := newRecord(b.n, 1)
	first := parking(r, r.service, rec)
	empty, err := r.stored(ctx)
	if err != nil {
		return line{}, err
	}
	if err := r.start(ctx); err != nil {
		return line{}, err
	}
	calls := make([]sample, b.n)
	before := occupied()
	m, err := measure(func() error { return r.park(ctx, rec, first, calls) })
	if err != nil {
		return line{}, err
	}
	added := occupied().since(before)
	l := m.line(b.n, b.n)
	l.timeline(calls)
	l.HeapMB, l.RSSMB = added.heap/megabyte, added.resident/megabyte
	l.MemoryPerRun = max(added.heap, added.resident) / float64(b.n)
	l.Duplicates, l.Losses = rec.faults()
	if err := r.auditParked(ctx, rec, &l); err != nil {
		return line{}, err
	}
	full, err := r.stored(ctx)
	l.BytesPerRun = float64(full-empty) / float64(b.n)
	return l, err
}

// parking binds the handler that parks a run. The tasks that would go on with
// it are not to be run: in the record they would count as duplicates.
func parking(h saga.Host, service string, rec *record) saga.Task[payload] {
	first := saga.NewTask[payload](service + "/park")
	then := saga.NewTask[saga.Joined[payload]](service + "/then")
	late := saga.NewTask[saga.Joined[payload]](service + "/late")
	called := saga.NewEvent[payload]("called")
	saga.Handle(h, first, func(_ context.Context, p payload) (saga.Step, error) {
		rec.enter(p.Run, 0)
		return saga.Join(saga.All(called), then, p).Within(72*time.Hour, late), nil
	})
	for _, t := range []saga.Task[saga.Joined[payload]]{then, late} {
		saga.Handle(h, t, func(_ context.Context, j saga.Joined[payload]) (saga.Step, error) {
			rec.enter(j.Data.Run, 0)
			return nil, nil
		})
	}
	return first
}

// park starts the runs and waits until each is in its join. It keeps nothing
// of them.
func (r *rig) park(ctx context.Context, rec *record, first saga.Task[payload], calls []sample) error {
	err := share(ctx, r.bench.clients, len(calls), func(ctx context.Context, i int) error {
		begun := time.Now()
		defer func() { calls[i] = since(begun) }()
		_, err := saga.Start(ctx, r, first, newPayload(i, 0), saga.ID(rec.id(i)))
		return err
	})
	if err != nil {
		return err
	}
	return rec.wait(ctx)
}

// auditParked counts each run that is not parked as a loss. The Router is
// stopped before, so that all that was entered is stored.
func (r *rig) auditParked(ctx context.Context, rec *record, l *line) error {
	if err := r.stop(); err != nil {
		return err
	}
	open := 0
	err := eachRun(ctx, r, rec, func(run *store.Run) error {
		if !run.Status.Closed() && run.Open > 0 {
			open++
		}
		return nil
	})
	l.Losses += len(rec.ended) - open
	return err
}

// stored returns the size of the store's file, all that was written brought
// into it; 0 for a store that is no file.
func (r *rig) stored(ctx context.Context) (int64, error) {
	if r.file == "" {
		return 0, nil
	}
	if err := r.checkpoint(ctx); err != nil {
		return 0, err
	}
	info, err := os.Stat(r.file)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (r *rig) checkpoint(ctx context.Context) error {
	_, err := r.DB().ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}
