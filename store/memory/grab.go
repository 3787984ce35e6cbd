package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/millrace-go/millrace/store"
)

// Grab implements [store.Store]. A limit of 0 takes nothing. Errors:
// [store.ErrLeaseLost], [store.ErrClosed] and the context's.
func (s *Store) Grab(ctx context.Context, g store.Grab) (store.Grabbed, error) {
	if err := s.enter(ctx, "grab"); err != nil {
		return store.Grabbed{}, err
	}
	defer s.db.mu.Unlock()
	if !s.db.alive(g.Worker) {
		return store.Grabbed{}, fmt.Errorf("memory: grab: worker %d: %w", g.Worker, store.ErrLeaseLost)
	}
	b := basket{db: s.db, ask: g}
	b.got.Now = s.instant()
	if len(g.Seqs) > 0 {
		b.claim()
	} else {
		b.fill()
	}
	return b.got, nil
}

// basket collects what one call grabs.
type basket struct {
	db    *database
	ask   store.Grab
	bytes int
	got   store.Grabbed
}

func (b *basket) full() bool {
	n := len(b.got.Messages)
	return n >= b.ask.Limit || n > 0 && b.ask.Bytes > 0 && b.bytes >= b.ask.Bytes
}

// fill takes what is due in the topics, the most urgent first.
func (b *basket) fill() {
	for _, topic := range b.ask.Topics {
		if q := b.db.queues[topic]; q != nil {
			q.promote(b.got.Now)
		}
	}
	for {
		m := b.head()
		if m == nil {
			break
		}
		if b.full() {
			b.got.More = true
			break
		}
		b.take(m)
	}
	b.got.Next = b.next()
}

// head returns the most urgent message of all topics, or nil.
func (b *basket) head() *store.Message {
	var best *store.Message
	for _, topic := range b.ask.Topics {
		q := b.db.queues[topic]
		if q == nil {
			continue
		}
		if m := q.head(b.got.Now); m != nil && (best == nil || moreUrgent(m, best)) {
			best = m
		}
	}
	return best
}

// next returns when the first message that is not due yet will be.
func (b *basket) next() store.Instant {
	var next store.Instant
	for _, topic := range b.ask.Topics {
		q := b.db.queues[topic]
		if q == nil {
			continue
		}
		if m, ok := q.later.Min(); ok && (next == 0 || m.Due < next) {
			next = m.Due
		}
	}
	return next
}

// claim takes the messages that are asked for by seq, if they are free and due
// or published.
func (b *basket) claim() {
	var due []*store.Message
	for _, seq := range b.ask.Seqs {
		m := b.db.messages.get(seq)
		if m != nil && !m.Held() && (m.Due <= b.got.Now || m.Published > 0) {
			due = append(due, m)
		}
	}
	slices.SortFunc(due, func(x, y *store.Message) int {
		switch {
		case moreUrgent(x, y):
			return -1
		case moreUrgent(y, x):
			return 1
		}
		return 0
	})
	for _, m := range slices.Compact(due) {
		if b.full() {
			b.got.More = true
			return
		}
		b.take(m)
	}
}

func (b *basket) take(m *store.Message) {
	given := *b.db.hold(m, b.ask.Worker)
	b.got.Messages = append(b.got.Messages, &given)
	b.bytes += m.Size()
	if m.Run != 0 {
		b.noteStopped(m.Run)
	}
}

func (b *basket) noteStopped(run int64) {
	if r := b.db.runs.get(run); r != nil && !r.Status.Stopped() {
		return
	}
	if b.got.Stopped == nil {
		b.got.Stopped = map[int64]bool{}
	}
	b.got.Stopped[run] = true
}
