package memory

import (
	"github.com/tidwall/btree"

	"github.com/millrace-go/millrace/store"
)

// queue keeps the free messages of one topic: those that are due in the order
// in which they are grabbed, the others by due time. Parked messages (Never)
// and held ones are in neither.
type queue struct {
	ready *btree.BTreeG[*store.Message]
	later *btree.BTreeG[*store.Message]
}

func newQueue() *queue { return &queue{ready: newTree(moreUrgent), later: newTree(dueEarlier)} }

// moreUrgent is the order of grabbing.
func moreUrgent(a, b *store.Message) bool {
	if a.Priority != b.Priority {
		return a.Priority > b.Priority
	}
	return a.Seq < b.Seq
}

func dueEarlier(a, b *store.Message) bool {
	if a.Due != b.Due {
		return a.Due < b.Due
	}
	return a.Seq < b.Seq
}

func (q *queue) add(m *store.Message) {
	switch m.Due {
	case store.Never:
	case 0:
		q.ready.Load(m) // a Set that is faster at the end
	default:
		q.later.Set(m)
	}
}

func (q *queue) remove(m *store.Message) {
	switch m.Due {
	case store.Never:
		return
	case 0:
		q.ready.Delete(m)
		return
	}
	if _, there := q.later.Delete(m); !there {
		q.ready.Delete(m)
	}
}

// promote makes ready what has fallen due.
func (q *queue) promote(now store.Instant) {
	for {
		m, ok := q.later.Min()
		if !ok || m.Due > now {
			return
		}
		q.later.Delete(m)
		q.ready.Set(m)
	}
}

// head returns the message to grab next, or nil. Since clocks can be set
// back, what was made ready may turn out not to be due.
func (q *queue) head(now store.Instant) *store.Message {
	for {
		m, ok := q.ready.Min()
		if !ok {
			return nil
		}
		if m.Due <= now {
			return m
		}
		q.ready.Delete(m)
		q.later.Set(m)
	}
}
