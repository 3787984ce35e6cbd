package engine

import (
	"context"
	"time"

	"github.com/millrace-go/millrace/store"
)

// reconcileEvery is how often held messages are compared without a reason.
const reconcileEvery = 5 * time.Minute

// reconcileLoop compares what the store says that this worker holds with what
// is in memory: an answer that got lost must strand nothing. It also deletes
// rows whose time has passed.
func (e *Engine) reconcileLoop(ctx context.Context) {
	suspects := map[int64]bool{}
	wait := reconcileEvery
	for try := 0; sleep(ctx, e.clock, wait, e.lost); {
		e.purge(ctx)
		found, err := e.compare(ctx, suspects)
		if suspects = found; err != nil {
			e.lost.raise()
			if !e.health.pause(ctx, try) {
				return
			}
			try++
			continue
		}
		try = 0
		if wait = reconcileEvery; len(suspects) > 0 {
			wait = min(e.cfg.Lease/10, time.Second) // a second look decides
		}
	}
}

// compare takes up what is held and not in memory at two looks in a row; it
// returns what was seen so for the first time. Memory is looked at before and
// after the store, since a message may be on its way in or out.
func (e *Engine) compare(ctx context.Context, suspects map[int64]bool) (map[int64]bool, error) {
	worker := e.worker.Load()
	first := map[int64]bool{}
	var after int64
	for {
		found, err := e.store.Find(ctx, store.Query{
			Messages: &store.MessageQuery{Worker: worker, After: after}, Limit: grabLimit,
		})
		if err != nil || worker == 0 {
			return suspects, err
		}
		var again []int64
		for _, seq := range found.Damaged {
			after = max(after, seq)
		}
		for _, m := range found.Messages {
			after = max(after, m.Seq)
			switch {
			case e.queues.has(m.Seq):
			case suspects[m.Seq]:
				again = append(again, m.Seq)
			default:
				first[m.Seq] = true
			}
		}
		if err := e.takeUp(ctx, worker, again); err != nil {
			return suspects, err
		}
		if !found.More {
			return first, nil
		}
	}
}

// takeUp puts stranded messages into memory, if they are still held there,
// and gives back those that are not for this worker any more.
func (e *Engine) takeUp(ctx context.Context, worker int64, seqs []int64) error {
	if len(seqs) == 0 {
		return nil
	}
	found, err := e.store.Find(ctx, store.Query{Messages: &store.MessageQuery{Seqs: seqs}, Limit: len(seqs)})
	if err != nil {
		return err
	}
	var taken []*store.Message
	for _, m := range found.Messages {
		switch {
		case m.Worker != worker || e.queues.has(m.Seq):
		case !e.queues.hosts(m.Topic):
			e.GiveBack(ctx, m)
		default:
			taken = append(taken, m)
		}
	}
	if len(taken) > 0 {
		e.log.Info("millrace: took up messages whose hand-over was lost", "messages", len(taken), "first", taken[0].ID)
		e.queues.push(taken, verbOf)
	}
	return nil
}

// purge deletes rows whose time has passed.
func (e *Engine) purge(ctx context.Context) {
	for {
		n, err := e.store.Purge(ctx, store.Purge{Limit: grabLimit})
		if err != nil || n == 0 {
			return
		}
	}
}
