package postgres

import (
	"sync"
	"time"

	"github.com/millrace-go/millrace/store"
)

// queue is what a grab searches by itself: the messages of one topic and
// priority, in the order of seq.
type queue struct {
	topic    string
	priority int16
}

// queues is what this process knows of queues: which the database knows, and
// where the oldest ready message of each was found.
//
// Taken messages leave dead rows behind, which a transaction that is open
// elsewhere keeps from being removed; a search from the beginning then reads
// them all. Once that takes long, searches begin at a floor, and only now and
// then at the beginning, for what others have put or freed below.
type queues struct {
	mu     sync.Mutex
	known  map[queue]bool
	floors map[queue]*floor
	full   time.Time     // when the last search from the beginning began
	took   time.Duration // by it; 0: little
}

// floor is where the search of a queue begins. It follows what was found some
// time later, since commits that began earlier bring lower numbers.
type floor struct {
	seq  int64
	next int64 // the floor from a later time on
	at   time.Time
}

const (
	floorLag     = 250 * time.Millisecond
	fullPart     = 20                   // searches from the beginning take one part in so many of the time
	longSearch   = 4 * time.Millisecond // and more for each message found
	longForFound = 20 * time.Microsecond
)

func newQueues() queues { return queues{known: map[queue]bool{}, floors: map[queue]*floor{}} }

// unknown adds the queues of messages that the database may not know of.
func (q *queues) unknown(into []queue, messages []*store.Message) []queue {
	q.mu.Lock()
	defer q.mu.Unlock()
	last := queue{}
	for i, m := range messages {
		k := queue{m.Topic, m.Priority}
		if i > 0 && k == last || q.known[k] || contains(into, k) {
			continue
		}
		into, last = append(into, k), k
	}
	return into
}

func contains(list []queue, k queue) bool {
	for _, other := range list {
		if other == k {
			return true
		}
	}
	return false
}

// learn notes queues that the database knows now.
func (q *queues) learn(list []queue) {
	if len(list) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, k := range list {
		q.known[k] = true
	}
}

// forget makes the next search begin at the beginning: messages were freed.
func (q *queues) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.floors)
}

// lower sees to it that free messages that were put are found, and returns for
// each of their topics when the first falls due.
func (q *queues) lower(put []*store.Message) map[string]store.Instant {
	var free map[string]store.Instant
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range put {
		if m.Worker != 0 || m.Due == store.Never {
			continue
		}
		if f := q.floors[queue{m.Topic, m.Priority}]; f != nil {
			f.seq, f.next = min(f.seq, m.Seq), min(f.next, m.Seq)
		}
		if free == nil {
			free = map[string]store.Instant{}
		}
		if due, ok := free[m.Topic]; !ok || m.Due < due {
			free[m.Topic] = m.Due
		}
	}
	return free
}

// search returns the floors to begin at; none for the beginning.
func (q *queues) search(now time.Time) map[queue]int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.took == 0 || now.Sub(q.full) > fullPart*q.took {
		return nil
	}
	floors := make(map[queue]int64, len(q.floors))
	for k, f := range q.floors {
		floors[k] = f.seq
	}
	return floors
}

// searched is what a search found.
type searched struct {
	begun   time.Time
	full    bool
	took    time.Duration
	found   int
	horizon int64           // no lower number is new
	oldest  map[queue]int64 // 0: none
	turned  bool            // messages have become ready, below the floors perhaps
}

// note learns from a search.
func (q *queues) note(s searched) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.full {
		q.full, q.took = s.begun, s.took
		if s.took < longSearch+time.Duration(s.found)*longForFound {
			q.took = 0
		}
	}
	if q.took == 0 || s.turned {
		clear(q.floors)
		return
	}
	for k, oldest := range s.oldest {
		if oldest == 0 {
			oldest = s.horizon
		}
		q.follow(k, oldest, s.begun)
	}
}

func (q *queues) follow(k queue, oldest int64, now time.Time) {
	f := q.floors[k]
	switch {
	case f == nil:
		q.floors[k] = &floor{next: oldest, at: now}
	case oldest < f.seq:
		*f = floor{seq: oldest, next: oldest, at: now}
	case now.Sub(f.at) >= floorLag:
		*f = floor{seq: f.next, next: oldest, at: now}
	}
}
