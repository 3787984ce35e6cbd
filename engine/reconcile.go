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
	for sleep(ctx, e.clock, wait, e.lost) {
		e.purge(ctx)
		found, err := e.compare(ctx, suspects)
		if suspects = found; err != nil {
			e.lost.raise()
			if !e.health.pause(ctx, 7) {
				return
			}
			continue
		}
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
		for _, m := range found.Messages {
			after = m.Seq
			switch {
			case e.queues.has(m.Seq):
			case !suspects[m.Seq]:
				first[m.Seq] = true
			default:
				if err := e.takeUp(ctx, worker, m.Seq); err != nil {
					return suspects, err
				}
			}
		}
		if !found.More {
			return first, nil
		}
	}
}

// takeUp puts a stranded message into memory, if it is still held there.
func (e *Engine) takeUp(ctx context.Context, worker, seq int64) error {
	found, err := e.store.Find(ctx, store.Query{Messages: &store.MessageQuery{Seqs: []int64{seq}}, Limit: 1})
	if err != nil || len(found.Messages) == 0 {
		return err
	}
	m := found.Messages[0]
	if m.Worker != worker || e.queues.has(seq) {
		return nil
	}
	e.log.Info("millrace: took up a message whose hand-over was lost", "message", m.ID, "task", m.Task, "run", m.RunID)
	if !e.queues.hosts(m.Topic) {
		e.GiveBack(ctx, m)
		return nil
	}
	e.queues.push([]*store.Message{m}, verbOf)
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
