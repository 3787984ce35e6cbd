package redis

import (
	"context"
	"slices"

	"github.com/millrace-go/millrace/store"
)

// Grab implements [store.Store], in one script. Bytes counts stored values. If
// the answer is lost, the worker may hold messages that it does not know of.
// Errors: store.ErrLeaseLost, store.ErrUnavailable, store.ErrSchema if the
// store was emptied or replaced, store.ErrClosed and the context's.
func (s *Store) Grab(ctx context.Context, g store.Grab) (store.Grabbed, error) {
	leave, err := s.enter(ctx, "grab")
	if err != nil {
		return store.Grabbed{}, err
	}
	defer leave()
	args := []any{s.clock(), store.Num(g.Worker), max(g.Limit, 0), max(g.Bytes, 0)}
	if len(g.Seqs) > 0 {
		args = append(args, 0)
		for _, seq := range slices.Compact(slices.Sorted(slices.Values(g.Seqs))) {
			args = append(args, store.Num(seq))
		}
	} else {
		topics := slices.Compact(slices.Sorted(slices.Values(g.Topics)))
		args = addAll(append(args, len(topics)), topics)
	}
	a, err := s.list(ctx, grabScript, args...)
	if err != nil {
		return store.Grabbed{}, explain("grab", err)
	}
	return s.grabbed(&a, g.Worker), nil
}

func (s *Store) grabbed(a *answers, worker int64) store.Grabbed {
	got := store.Grabbed{Now: store.Instant(a.number()), More: a.number() == 1, Next: store.Instant(a.number())}
	for range a.number() {
		seq, _ := a.text()
		v, _ := a.text()
		m, err := messageOf(number(seq), v)
		if err != nil {
			got.Damaged = append(got.Damaged, number(seq))
			continue
		}
		m.Worker = worker
		s.cache.grabbed(m.Seq, v[:stampSize], worker)
		got.Messages = append(got.Messages, m)
	}
	for a.more() {
		run, _ := a.text()
		mark, _ := a.text()
		if mark != "" && !statusOf(mark[0]).Stopped() {
			continue
		}
		if got.Stopped == nil {
			got.Stopped = map[int64]bool{}
		}
		got.Stopped[number(run)] = true
	}
	return got
}
