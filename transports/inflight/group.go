package inflight

import (
	"context"
	"sync"
)

// Group is the subscriptions of one subscriber: they end when it is closed. It
// is safe for concurrent use, and must not be copied.
type Group struct {
	Err error // of Open, once the group is closed

	mu     sync.Mutex
	closed bool
	opened int
	ends   map[int]context.CancelFunc // of the open ones
	all    sync.WaitGroup
}

// Open opens a subscription, and has a goroutine of its own run it. Their
// context ends with ctx, and when the group is closed. An error of open is
// returned, or Err if it is that the group was closed meanwhile; then nothing is
// run.
func (g *Group) Open(ctx context.Context, open func(context.Context) error, run func(context.Context)) error {
	life, end, err := g.begin(ctx)
	if err != nil {
		return err
	}
	if err := open(life); err != nil {
		interrupted := life.Err() != nil && ctx.Err() == nil
		end()
		if interrupted {
			return g.Err
		}
		return err
	}
	go func() {
		defer end()
		run(life)
	}()
	return nil
}

func (g *Group) begin(ctx context.Context) (_ context.Context, end func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, nil, g.Err
	}
	if g.ends == nil {
		g.ends = map[int]context.CancelFunc{}
	}
	ctx, cancel := context.WithCancel(ctx)
	id := g.opened
	g.opened++
	g.ends[id] = cancel
	g.all.Add(1)
	return ctx, func() {
		cancel()
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.ends, id)
		g.all.Done()
	}, nil
}

// Go runs what a subscription leaves behind, such as a wait for an answer.
// Close waits for it. It is called while the subscription is run.
func (g *Group) Go(f func()) { g.all.Go(f) }

// Close ends all subscriptions, and returns when they have ended. Closing twice
// is allowed.
func (g *Group) Close() {
	g.mu.Lock()
	g.closed = true
	for _, end := range g.ends {
		end()
	}
	g.mu.Unlock()
	g.all.Wait()
}

// Closed reports whether Close was called.
func (g *Group) Closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}
