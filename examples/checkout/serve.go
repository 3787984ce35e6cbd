package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
)

// How an order ends.
const (
	shipped     = "shipped"
	compensated = "compensated"
	expired     = "expired"
)

// serve has customers place the orders, each waiting for the end of one before
// the next, and says how each ended.
func (o *options) serve(ctx context.Context, h saga.Host, orders []string) ([]string, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ends := make([]string, len(orders))
	next := make(chan int)
	var customers sync.WaitGroup
	for range min(o.customers, len(orders)) {
		customers.Go(func() {
			for i := range next {
				var err error
				if ends[i], err = o.order(ctx, h, orders[i]); err != nil {
					stop(err)
				}
			}
		})
	}
	for i := range orders {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	customers.Wait()
	return ends, context.Cause(ctx)
}

// order places an order, unless it was placed before, and waits for its end.
// Whatever fails for good, the bank too, makes the run undo what was done.
func (o *options) order(ctx context.Context, h saga.Host, id string) (end string, err error) {
	run, err := saga.Start(ctx, h, Place, Order{id, o.deadline}, saga.ID(id), saga.OnDead(step.Compensate))
	if errors.Is(err, saga.ErrConflict) {
		return "", fmt.Errorf("%w: the order was placed with another -deadline; take that, or -fresh", err)
	}
	if err != nil {
		return "", err
	}
	if err = run.Result(ctx, nil); !errors.Is(err, saga.ErrFailed) {
		return shipped, err
	}
	return how(ctx, run)
}

// how says how an order that was not shipped ended.
func how(ctx context.Context, run saga.Run) (end string, err error) {
	status, err := run.Status(ctx)
	if err != nil {
		return "", err
	}
	if status.Error == notPaid {
		return expired, nil
	}
	return compensated, nil
}
