package main

import (
	"context"

	"github.com/millrace-go/millrace/saga"
)

// fork10 measures runs that fork into 10 parallel steps, join, and do one
// more: 12 steps.
func fork10(ctx context.Context, b *bench) (line, error) {
	r, err := b.open(ctx)
	if err != nil {
		return line{}, err
	}
	defer r.close()
	rec := newRecord(b.n, fork10Steps)
	first := bindFork10(r, r.service, rec.enter)
	if err := r.start(ctx); err != nil {
		return line{}, err
	}
	return r.drive(ctx, rec, first)
}

const fork10Steps = 12

func bindFork10(h saga.Host, service string, enter func(run, step int)) saga.Task[payload] {
	return fork(h, service, fork10Steps-2, enter)
}

// fork binds a handler that forks into so many, the handler of those, and the
// one that is joined, and returns the task of the first. enter is called at the
// beginning of each.
func fork(h saga.Host, service string, width int, enter func(run, step int)) saga.Task[payload] {
	first := saga.NewTask[payload](service + "/fork")
	child := saga.NewTask[payload](service + "/child")
	last := saga.NewTask[saga.Joined[payload]](service + "/joined")
	saga.Handle(h, first, func(_ context.Context, p payload) (saga.Step, error) {
		enter(p.Run, 0)
		f := saga.ForkSeq(child, func(yield func(payload) bool) {
			for i := range width {
				if !yield(newPayload(p.Run, 1+i)) {
					return
				}
			}
		})
		return saga.Do(f, saga.Join(saga.AllOf(f), last, p)), nil
	})
	saga.Handle(h, child, func(_ context.Context, p payload) (saga.Step, error) {
		enter(p.Run, p.Step)
		return nil, nil
	})
	saga.Handle(h, last, func(_ context.Context, j saga.Joined[payload]) (saga.Step, error) {
		enter(j.Data.Run, 1+width)
		return nil, nil
	})
	return first
}
