package main

import (
	"context"
	"fmt"
	"time"
)

// two measures chain3 in two worker processes on one store, against one
// process on another. In the end one of two is killed amid its work: that
// loses nothing, and no run lasts longer for it than a lease.
func two(ctx context.Context, b *bench) (line, error) {
	alone, err := together(ctx, b, 1)
	if err != nil {
		return line{}, fmt.Errorf("one process: %w", err)
	}
	l, err := together(ctx, b, 2)
	if err != nil {
		return line{}, fmt.Errorf("two processes: %w", err)
	}
	l.AlonePerS, l.Gain = alone.StepsPerS, l.StepsPerS/alone.StepsPerS
	hit, err := oneOfTwo(ctx, b)
	if err != nil {
		return line{}, fmt.Errorf("one of two killed: %w", err)
	}
	l.Duplicates += alone.Duplicates + hit.Duplicates
	l.Losses += alone.Losses + hit.Losses
	l.Kills, l.Stall, l.Lease, l.Again = hit.Kills, hit.Stall, hit.Lease, hit.Again
	if l.Stall > l.Lease+milliseconds(time.Second) {
		return line{}, fmt.Errorf("a run took %.0f ms after the kill; the lease is %.0f ms", l.Stall, l.Lease)
	}
	return l, nil
}

func chainWorkload() workload { return workload{name: "chain3", steps: chain3Steps, bind: bindChain3} }

// together measures chain3 in so many processes.
func together(ctx context.Context, b *bench, processes int) (line, error) {
	c, err := b.crew(ctx, chainWorkload(), processes, b.n)
	if err != nil {
		return line{}, err
	}
	defer c.close()
	if err := c.acquaint(ctx, processes); err != nil {
		return line{}, err
	}
	close(c.off)
	if err := c.wait(ctx); err != nil {
		return line{}, err
	}
	return c.line(ctx)
}

// acquaint waits until processes know of each other: they look at intervals,
// and share a store in another way than one that has it to itself.
func (c *crew) acquaint(ctx context.Context, processes int) error {
	if processes == 1 {
		return nil
	}
	select {
	case <-time.After(c.lease/3 + 500*time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// oneOfTwo measures chain3 in two processes, of which one is killed when a
// third of the runs has ended, and not replaced.
func oneOfTwo(ctx context.Context, b *bench) (line, error) {
	c, err := b.crew(ctx, chainWorkload(), 2, b.n)
	if err != nil {
		return line{}, err
	}
	defer c.close()
	close(c.off)
	if err := c.rec.waitEnds(ctx, int64(b.n/3)); err != nil {
		return line{}, err
	}
	c.killOldest()
	c.kills++
	if err := c.wait(ctx); err != nil {
		return line{}, err
	}
	return c.line(ctx)
}
