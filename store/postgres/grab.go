package postgres

import (
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"time"

	"github.com/lib/pq/oid"

	"github.com/millrace-go/millrace/store"
)

// Grab implements [store.Store]. A limit of 0 takes nothing. Bytes counts the
// stored bodies. What others are about to take is passed over, not waited for.
//
// Errors: store.ErrLeaseLost, store.ErrUnavailable (when the answer was lost,
// messages may have been taken: they are found by their worker), store.ErrSchema,
// store.ErrClosed and the context's.
func (s *Store) Grab(ctx context.Context, g store.Grab) (store.Grabbed, error) {
	leave, err := s.enter(ctx, "grab")
	if err != nil {
		return store.Grabbed{}, err
	}
	defer leave()
	x, err := s.pool.take(ctx)
	if err != nil {
		return store.Grabbed{}, explain("grab", err)
	}
	b := basket{ask: g}
	err = b.fill(x, s)
	s.pool.give(x)
	if err != nil {
		return store.Grabbed{}, explain("grab", err)
	}
	if len(g.Seqs) == 0 && !b.got.More {
		s.waking.hungry(g.Topics, b.got.Next, b.got.Now)
	}
	return b.got, nil
}

// basket collects what one call grabs.
type basket struct {
	ask    store.Grab
	got    store.Grabbed
	alive  bool
	search searched
}

// Parts of the answer of millrace_grab.
const (
	grabHead = iota
	grabMessage
	grabQueue
)

func (b *basket) fill(x *session, s *Store) error {
	b.search = searched{begun: time.Now(), full: true, oldest: map[queue]int64{}}
	topics, priorities, seqs := newArray(oid.T_text), newArray(oid.T_int8), newArray(oid.T_int8)
	for k, seq := range s.queues.search(b.search.begun) {
		b.search.full = false
		topics.text(k.topic)
		priorities.integer(int64(k.priority))
		seqs.integer(seq)
	}
	err := x.query(sqlGrab, b.note, b.ask.Worker, s.at(), texts(b.ask.Topics), integers(b.ask.Seqs),
		int64(max(b.ask.Limit, 0)), int64(max(b.ask.Bytes, 0)), topics, priorities, seqs)
	if err != nil {
		return err
	}
	if !b.alive {
		return fmt.Errorf("worker %d: %w", b.ask.Worker, store.ErrLeaseLost)
	}
	if len(b.ask.Seqs) == 0 {
		b.search.found = len(b.got.Messages)
		s.queues.note(b.search)
	}
	slices.SortFunc(b.got.Messages, moreUrgent)
	return nil
}

// moreUrgent is the order of grabbing.
func moreUrgent(a, b *store.Message) int {
	if a.Priority != b.Priority {
		return cmp.Compare(b.Priority, a.Priority)
	}
	return cmp.Compare(a.Seq, b.Seq)
}

// note takes a row of the answer: part, six numbers, two texts, body.
func (b *basket) note(row []driver.Value) error {
	switch integer(row[0]) {
	case grabHead:
		b.got.Now, b.alive = instant(row[1]), integer(row[2]) == 1
		b.got.More, b.search.turned = integer(row[3])&1 != 0, integer(row[3])&2 != 0
		b.got.Next, b.search.horizon = instant(row[4]), integer(row[5])
		b.search.took = time.Duration(integer(row[6])) * time.Microsecond
	case grabMessage:
		m, err := messageOf(row[1:])
		if err != nil {
			b.got.Damaged = append(b.got.Damaged, m.Seq)
			return nil
		}
		m.Worker = b.ask.Worker
		b.got.Messages = append(b.got.Messages, m)
		b.noteRun(m.Run, row[5])
	case grabQueue:
		b.search.oldest[queue{text(row[7]), int16(integer(row[2]))}] = integer(row[1])
	}
	return nil
}

// noteRun notes a run that is stopped, or gone: then it has no status.
func (b *basket) noteRun(key int64, status driver.Value) {
	if key == 0 || status != nil && !store.Status(integer(status)).Stopped() {
		return
	}
	if b.got.Stopped == nil {
		b.got.Stopped = map[int64]bool{}
	}
	b.got.Stopped[key] = true
}
