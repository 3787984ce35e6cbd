package main

import (
	"context"
	"errors"
	"time"

	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

// bulk is how many jobs are inserted by one call.
const bulk = 500

func jobsSingle(ctx context.Context, b *bench) (line, error) { return jobs(ctx, b, 1) }

func jobsBulk(ctx context.Context, b *bench) (line, error) { return jobs(ctx, b, bulk) }

// jobs measures jobs that are inserted, so many by a call, while nobody works,
// and then worked off. Both phases count; the second ends when the Router has
// drained.
func jobs(ctx context.Context, b *bench, each int) (line, error) {
	r, err := b.open(ctx)
	if err != nil {
		return line{}, err
	}
	defer r.close()
	rec := newRecord(b.n, 1)
	job := saga.NewTask[payload](r.service + "/job")
	saga.Handle(r, job, func(_ context.Context, p payload) (saga.Step, error) {
		rec.enter(p.Run, 0)
		return nil, nil
	})
	calls := make([]sample, (b.n+each-1)/each)
	var inserting, working measured
	m, err := measure(func() (err error) {
		begun := time.Now()
		err = share(ctx, b.clients, len(calls), func(ctx context.Context, i int) error {
			call := time.Now()
			defer func() { calls[i] = since(call) }()
			return saga.Enqueue(ctx, r, "", job, some(i*each, min(b.n, (i+1)*each))...)
		})
		inserting.elapsed = time.Since(begun)
		if err != nil {
			return err
		}
		return r.workOff(ctx, rec)
	})
	if err != nil {
		return line{}, err
	}
	working.elapsed = m.elapsed - inserting.elapsed
	l := m.line(b.n, b.n)
	l.InsertPerS, l.WorkPerS = inserting.line(b.n, b.n).RunsPerS, working.line(b.n, b.n).RunsPerS
	l.timeline(calls)
	l.Duplicates, l.Losses = rec.faults()
	left, err := r.pending(ctx)
	l.Losses += left
	return l, err
}

// some returns payloads of jobs.
func some(from, to int) []payload {
	out := make([]payload, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, newPayload(i, 0))
	}
	return out
}

// workOff runs the Router until each step of the record was entered, and what
// was entered is stored.
func (r *rig) workOff(ctx context.Context, rec *record) error {
	if err := r.start(ctx); err != nil {
		return err
	}
	return errors.Join(rec.wait(ctx), r.stop())
}

// pending counts the messages to this measurement's service.
func (r *rig) pending(ctx context.Context) (int, error) {
	n := 0
	q := store.MessageQuery{}
	for {
		found, err := r.Find(ctx, store.Query{Messages: &q, Limit: 5000})
		if err != nil {
			return n, err
		}
		for _, m := range found.Messages {
			q.After = m.Seq
			if m.Topic == r.service {
				n++
			}
		}
		if !found.More {
			return n, nil
		}
	}
}
