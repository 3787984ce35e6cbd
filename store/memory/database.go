package memory

import (
	"crypto/rand"
	"sync"

	"github.com/tidwall/btree"

	"github.com/millrace-go/millrace/store"
)

// database is what handles share.
type database struct {
	name string // by which the process knows it
	id   string // see store.Beaten

	mu         sync.Mutex // guards what follows
	handles    int
	next       int64 // first free number
	lastWorker int64 // key given last
	messages   table[store.Message]
	queues     map[string]*queue // free messages by topic
	freeOfRun  *btree.BTreeG[*store.Message]
	named      map[store.Named]int64
	runs       table[store.Run]
	runIDs     map[string]*store.Run
	ended      *btree.BTreeG[*store.Run] // closed runs by the time of their end
	rows       rows
	workers    map[int64]store.Worker
}

func newDatabase(name string) *database {
	return &database{
		name:      name,
		id:        rand.Text(),
		next:      1,
		messages:  newTable[store.Message](),
		queues:    map[string]*queue{},
		freeOfRun: newTree(ofRunLess),
		named:     map[store.Named]int64{},
		runs:      newTable[store.Run](),
		runIDs:    map[string]*store.Run{},
		ended:     newTree(endedLess),
		rows:      newRows(),
		workers:   map[int64]store.Worker{},
	}
}

func ofRunLess(a, b *store.Message) bool {
	if a.Run != b.Run {
		return a.Run < b.Run
	}
	return a.Seq < b.Seq
}

func endedLess(a, b *store.Run) bool {
	if a.Ended != b.Ended {
		return a.Ended < b.Ended
	}
	return a.Key < b.Key
}

func (db *database) alive(worker int64) bool {
	_, ok := db.workers[worker]
	return ok
}

func (db *database) queue(topic string) *queue {
	q := db.queues[topic]
	if q == nil {
		q = newQueue()
		db.queues[topic] = q
	}
	return q
}

// putMessage inserts m, or replaces the message with its seq. A message that
// was held and stays held, or is born held, touches the table only.
func (db *database) putMessage(m *store.Message) {
	if old := db.messages.get(m.Seq); old != nil {
		db.unindex(old)
	}
	db.messages.put(m.Seq, m)
	if m.Name != "" {
		db.named[store.Named{Run: m.Run, Name: m.Name}] = m.Seq
	}
	if m.Held() {
		return
	}
	db.queue(m.Topic).add(m)
	if m.Run != 0 {
		db.freeOfRun.Set(m)
	}
}

func (db *database) deleteMessage(seq int64) {
	if m := db.messages.get(seq); m != nil {
		db.unindex(m)
		db.messages.delete(seq)
	}
}

func (db *database) unindex(m *store.Message) {
	if m.Name != "" {
		db.unname(m)
	}
	if m.Held() {
		return
	}
	db.queue(m.Topic).remove(m)
	if m.Run != 0 {
		db.freeOfRun.Delete(m)
	}
}

// unname drops the name of m, unless another message took it over.
func (db *database) unname(m *store.Message) {
	key := store.Named{Run: m.Run, Name: m.Name}
	if db.named[key] == m.Seq {
		delete(db.named, key)
	}
}

// hold makes worker the holder of m.
func (db *database) hold(m *store.Message, worker int64) *store.Message {
	c := *m
	c.Worker = worker
	db.putMessage(&c)
	return &c
}

// release takes a message from a worker that is gone. One that went to a broker is
// due at once.
func (db *database) release(m *store.Message) {
	c := *m
	c.Worker = 0
	if c.Published > 0 {
		c.Due = 0
	}
	db.putMessage(&c)
}

func (db *database) putRun(r *store.Run) {
	if old := db.runs.get(r.Key); old != nil && purgeable(old) {
		db.ended.Delete(old)
	}
	db.runs.put(r.Key, r)
	db.runIDs[r.ID] = r
	if purgeable(r) {
		db.ended.Set(r)
	}
}

// deleteRun deletes a run with the rows that belong to it.
func (db *database) deleteRun(r *store.Run) {
	db.ended.Delete(r)
	db.runs.delete(r.Key)
	delete(db.runIDs, r.ID)
	for _, k := range db.rows.belonging(store.Num(r.Key)) {
		db.rows.delete(k)
	}
}

// purgeable reports whether r may be purged some day.
func purgeable(r *store.Run) bool { return r.Status.Closed() && r.Ended > 0 }
