package main

import (
	"context"
	"fmt"

	"github.com/millrace-go/millrace/saga"
)

// chain3 measures runs of 3 steps in sequence, from the first start to the
// last end.
func chain3(ctx context.Context, b *bench) (line, error) {
	r, err := b.open(ctx)
	if err != nil {
		return line{}, err
	}
	defer r.close()
	rec := newRecord(b.n, chain3Steps)
	first := bindChain3(r, r.service, rec.enter)
	if err := r.start(ctx); err != nil {
		return line{}, err
	}
	return r.drive(ctx, rec, first)
}

const chain3Steps = 3

func bindChain3(h saga.Host, service string, enter func(run, step int)) saga.Task[payload] {
	return chain(h, service, "", chain3Steps, enter)
}

// chain binds handlers that hand a payload on, one to the next, and returns
// the first of their tasks. enter is called at the beginning of each. Several
// chains of a service differ in their prefixes.
func chain(h saga.Host, service, prefix string, length int, enter func(run, step int)) saga.Task[payload] {
	tasks := make([]saga.Task[payload], length)
	for i := range tasks {
		tasks[i] = saga.NewTask[payload](fmt.Sprintf("%s/%sstep%d", service, prefix, i))
	}
	for i, t := range tasks {
		saga.Handle(h, t, func(_ context.Context, p payload) (saga.Step, error) {
			enter(p.Run, i)
			if i == length-1 {
				return nil, nil
			}
			p.Step++
			return saga.Send(tasks[i+1], p), nil
		})
	}
	return tasks[0]
}
