package main

import (
	"context"
	"time"

	"github.com/millrace-go/millrace/saga"
)

// hop measures runs of 10 steps, one run at a time, on an idle system. The
// times are those from the entry of one step to the entry of the next.
func hop(ctx context.Context, b *bench) (line, error) {
	const length = 10
	r, err := b.open(ctx)
	if err != nil {
		return line{}, err
	}
	defer r.close()
	rec := newRecord(b.n, length)
	entered := make([]time.Time, b.n*length)
	first := chain(r, r.service, "", length, func(run, step int) {
		entered[run*length+step] = time.Now()
		rec.enter(run, step)
	})
	if err := r.start(ctx); err != nil {
		return line{}, err
	}
	m, err := measure(func() error { return r.oneByOne(ctx, rec, first) })
	if err != nil {
		return line{}, err
	}
	l := m.line(b.n, b.n*length)
	l.Duplicates, l.Losses = rec.faults()
	if err := r.audit(ctx, rec, &l); err != nil {
		return line{}, err
	}
	l.timeline(hops(entered, length))
	return l, nil
}

// oneByOne starts each run when the one before has ended.
func (r *rig) oneByOne(ctx context.Context, rec *record, first saga.Task[payload]) error {
	for i := range rec.ended {
		run, err := saga.Start(ctx, r, first, newPayload(i, 0), saga.ID(rec.id(i)))
		if err != nil {
			return err
		}
		if err := run.Result(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// hops are the times between entries of one run.
func hops(entered []time.Time, length int) []sample {
	var out []sample
	for i := range entered {
		if i%length != 0 {
			out = append(out, sample{entered[i], entered[i].Sub(entered[i-1])})
		}
	}
	return out
}
