package engine

import (
	"context"
	"time"

	"github.com/millrace-go/millrace/store"
)

// reconcileEvery is how often held messages are compared without a reason.
const reconcileEvery = 5 * time.Minute

// lookAgain is how soon a second look follows the first: what hangs on an
// answer that was lost waits for it.
const lookAgain = 50 * time.Millisecond

// reconcileLoop compares what the store says that this worker holds with what
// is in memory: an answer that got lost must strand nothing. It also deletes
// rows whose time has passed.
func (e *Engine) reconcileLoop(ctx context.Context) {
	var seen suspects
	never := newSignal()
	wait, wake, second := reconcileEvery, e.lost, false
	for try := 0; sleep(ctx, e.clock, wait, wake); {
		e.purge(ctx)
		if wait = lookAgain; !e.flights.landedBefore(seen.mark) {
			continue // what was seen may be on its way
		}
		found, err := e.compare(ctx, seen.seqs)
		seen = suspects{found, e.flights.mark()}
		if err != nil {
			e.lost.raise()
			if !e.health.pause(ctx, try) {
				return
			}
			try++
			continue
		}
		// A second look decides, and not too soon, also where the first one has
		// found nothing: what is stranded may have been taken for an execution
		// of the same message that was about to end.
		try, wake = 0, never
		if second && len(found) == 0 {
			wait, wake, second = reconcileEvery, e.lost, false
			continue
		}
		second = true
	}
}

// suspects are messages that are held and not in memory. They are stranded
// unless a call that began before mark has yet to bring them.
type suspects struct {
	seqs map[int64]bool
	mark int64
}

// compare takes up what is held and not in memory at two looks in a row; it
// returns what was seen so for the first time.
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
