package postgres

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/millrace-go/millrace/store"
)

// claims are the runs and rows that commits of this process are about. A commit
// waits a while for those before it that are about the same: what it would be
// decided on is about to change. The database sees to it too; here it costs
// nothing.
type claims struct {
	mu   sync.Mutex
	runs map[int64]*claim
	ids  map[string]*claim
	rows map[store.RowKey]*claim
}

type claim struct {
	keys   store.Keys
	landed chan struct{}
}

func newClaims() claims {
	return claims{runs: map[int64]*claim{}, ids: map[string]*claim{}, rows: map[store.RowKey]*claim{}}
}

// claimPatience is how long a commit waits for others. One that takes longer is
// likely to wait for a lock itself.
const claimPatience = 500 * time.Millisecond

// take blocks until nobody else is at what keys name, or ctx ends. After a while
// it goes on without a claim.
func (c *claims) take(ctx context.Context, keys *store.Keys) (*claim, error) {
	mine := &claim{keys: *keys, landed: make(chan struct{})}
	mine.keys.Runs = slices.Clone(keys.Runs)
	for _, f := range keys.Free {
		mine.keys.Runs = append(mine.keys.Runs, f.Run)
	}
	for _, n := range keys.Named {
		mine.keys.Runs = append(mine.keys.Runs, n.Run)
	}
	other := c.enter(mine)
	if other == nil {
		return mine, nil
	}
	patience := time.NewTimer(claimPatience)
	defer patience.Stop()
	for ; other != nil; other = c.enter(mine) {
		select {
		case <-other.landed:
		case <-patience.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return mine, nil
}

// enter returns whom mine has to wait for.
func (c *claims) enter(mine *claim) (other *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other = c.at(mine); other != nil {
		return other
	}
	for _, key := range mine.keys.Runs {
		c.runs[key] = mine
	}
	for _, id := range mine.keys.RunIDs {
		c.ids[id] = mine
	}
	for _, key := range mine.keys.Rows {
		c.rows[key] = mine
	}
	return nil
}

func (c *claims) at(mine *claim) *claim {
	for _, key := range mine.keys.Runs {
		if other := c.runs[key]; other != nil {
			return other
		}
	}
	for _, id := range mine.keys.RunIDs {
		if other := c.ids[id]; other != nil {
			return other
		}
	}
	for _, key := range mine.keys.Rows {
		if other := c.rows[key]; other != nil {
			return other
		}
	}
	return nil
}

// release lets others at what a claim is about; nil is none.
func (c *claims) release(mine *claim) {
	if mine == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range mine.keys.Runs {
		delete(c.runs, key)
	}
	for _, id := range mine.keys.RunIDs {
		delete(c.ids, id)
	}
	for _, key := range mine.keys.Rows {
		delete(c.rows, key)
	}
	close(mine.landed)
}
