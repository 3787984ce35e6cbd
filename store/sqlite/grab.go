package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"

	"github.com/millrace-go/millrace/store"
)

// Grab implements [store.Store]. A limit of 0 takes nothing. Bytes counts the
// stored bodies. It waits and fails as [Store.Commit] does, and with
// store.ErrLeaseLost.
func (s *Store) Grab(ctx context.Context, g store.Grab) (store.Grabbed, error) {
	leave, err := s.enter(ctx, "grab")
	if err != nil {
		return store.Grabbed{}, err
	}
	defer leave()
	b := basket{ask: g}
	err = s.writer.do(ctx, "grab", func(x *session) (bool, error) {
		b.x, b.got.Now = x, s.now()
		return b.fill()
	}, nil)
	if err != nil {
		return store.Grabbed{}, err
	}
	if len(b.got.Messages) > 0 && s.config.Synchronous == Full {
		// No handler is entered for a message whose sender's commit may still
		// be undone.
		if err := s.wal.await(s.wal.last()); err != nil {
			return store.Grabbed{}, explain("grab", err)
		}
	}
	return b.got, nil
}

// ripeAtOnce is how many messages, whose time has come, one call takes notice
// of at least. What of them it does not take is ready from then on.
const ripeAtOnce = 1000

// basket collects what one call grabs.
type basket struct {
	x     executor
	ask   store.Grab
	ready []candidate
	ripe  []candidate
	moved []int64 // to or from the index of what is ready
	wrote bool
	got   store.Grabbed
}

// candidate is a message that may be taken.
type candidate struct {
	seq      int64
	priority int64
	due      store.Instant
}

// moreUrgent is the order of grabbing.
func moreUrgent(a, b candidate) int {
	if a.priority != b.priority {
		return int(b.priority - a.priority)
	}
	return int(min(max(a.seq-b.seq, -1), 1))
}

func (b *basket) fill() (write bool, err error) {
	_, alive, err := fence(b.x, b.ask.Worker)
	if err != nil {
		return false, err
	}
	if !alive {
		return false, fmt.Errorf("worker %d: %w", b.ask.Worker, store.ErrLeaseLost)
	}
	look := b.lookAround
	if len(b.ask.Seqs) > 0 {
		look = b.lookAt
	}
	if err := look(); err != nil {
		return false, err
	}
	chosen, err := b.choose()
	if err != nil {
		return false, err
	}
	if err := b.take(chosen); err != nil {
		return false, err
	}
	if err := b.move(chosen); err != nil {
		return false, err
	}
	if len(b.ask.Seqs) == 0 {
		err = b.lookAhead()
	}
	return b.wrote, err
}

// lookAround lists the most urgent of each topic, one more than wanted.
func (b *basket) lookAround() error {
	limit := int64(max(b.ask.Limit, 0)) + 1
	for _, topic := range b.ask.Topics {
		if err := b.x.query(sqlReady, b.note(&b.ready), topic, limit); err != nil {
			return err
		}
		if err := b.x.query(sqlRipe, b.note(&b.ripe), topic, int64(b.got.Now), max(limit, ripeAtOnce)); err != nil {
			return err
		}
	}
	return nil
}

// lookAt lists those that are asked for by seq.
func (b *basket) lookAt() error {
	return b.x.query(sqlClaimable, b.note(&b.ready), listOf(b.ask.Seqs), int64(b.got.Now))
}

func (b *basket) note(list *[]candidate) func([]driver.Value) error {
	return func(row []driver.Value) error {
		*list = append(*list, candidate{seq: integer(row[0]), priority: integer(row[1]), due: dueOf(row[2])})
		return nil
	}
}

// choose picks the most urgent within the limits. What was ready and is not
// due any more, since the clock was set back, is left to wait.
func (b *basket) choose() (chosen []int64, err error) {
	all := slices.Concat(b.ready, b.ripe)
	slices.SortFunc(all, moreUrgent)
	all = slices.Compact(all)
	if len(all) > b.ask.Limit {
		all, b.got.More = all[:max(b.ask.Limit, 0)], true
	}
	sizes, err := b.weigh(all)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, c := range all {
		if c.due > b.got.Now {
			b.moved = append(b.moved, c.seq)
			continue
		}
		if len(chosen) > 0 && b.ask.Bytes > 0 && size >= b.ask.Bytes {
			b.got.More = true
			break
		}
		chosen, size = append(chosen, c.seq), size+sizes[c.seq]
	}
	return chosen, nil
}

// weigh gives the sizes of bodies, if these are limited.
func (b *basket) weigh(all []candidate) (map[int64]int, error) {
	if len(all) == 0 || b.ask.Bytes <= 0 {
		return nil, nil
	}
	sizes := make(map[int64]int, len(all))
	return sizes, b.x.query(sqlWeigh, func(row []driver.Value) error {
		sizes[integer(row[0])] = int(integer(row[1]))
		return nil
	}, listOf(seqsOf(all)))
}

func seqsOf(all []candidate) []int64 {
	seqs := make([]int64, len(all))
	for i, c := range all {
		seqs[i] = c.seq
	}
	return seqs
}

// take makes the worker the holder of chosen messages, and reads them.
func (b *basket) take(chosen []int64) error {
	if len(chosen) == 0 {
		return nil
	}
	b.wrote = true
	bySeq := make(map[int64]*store.Message, len(chosen))
	err := b.x.query(sqlHold, func(row []driver.Value) error {
		if m, err := messageOf(row); err == nil {
			bySeq[m.Seq] = m
		}
		return nil
	}, listOf(chosen), b.ask.Worker)
	if err != nil {
		return err
	}
	for _, seq := range chosen {
		if m := bySeq[seq]; m != nil {
			b.got.Messages = append(b.got.Messages, m)
		} else {
			b.got.Damaged = append(b.got.Damaged, seq)
		}
	}
	return b.noteStopped()
}

// noteStopped tells which runs of the messages are stopped or gone.
func (b *basket) noteStopped() error {
	var keys []int64
	for _, m := range b.got.Messages {
		if m.Run != 0 {
			keys = append(keys, m.Run)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	slices.Sort(keys)
	going := map[int64]bool{}
	err := b.x.query(sqlStatuses, func(row []driver.Value) error {
		going[integer(row[0])] = !store.Status(integer(row[1])).Stopped()
		return nil
	}, listOf(slices.Compact(keys)))
	for _, key := range keys {
		if !going[key] {
			b.stop(key)
		}
	}
	return err
}

func (b *basket) stop(run int64) {
	if b.got.Stopped == nil {
		b.got.Stopped = map[int64]bool{}
	}
	b.got.Stopped[run] = true
}

// move makes ready what is due and was not chosen, so that the next call finds
// it in the order of urgency and does not look at it twice.
func (b *basket) move(chosen []int64) error {
	taken := make(map[int64]bool, len(chosen))
	for _, seq := range chosen {
		taken[seq] = true
	}
	for _, c := range b.ripe {
		if !taken[c.seq] {
			b.moved = append(b.moved, c.seq)
			b.got.More = true
		}
	}
	if len(b.moved) == 0 {
		return nil
	}
	b.wrote = true
	_, err := b.x.exec(sqlRipen, listOf(b.moved))
	return err
}

// lookAhead finds when the next message of the topics falls due.
func (b *basket) lookAhead() error {
	for _, topic := range b.ask.Topics {
		err := b.x.query(sqlNextDue, func(row []driver.Value) error {
			if due := instant(row[0]); due != 0 && (b.got.Next == 0 || due < b.got.Next) {
				b.got.Next = due
			}
			return nil
		}, topic, int64(b.got.Now))
		if err != nil {
			return err
		}
	}
	return nil
}
