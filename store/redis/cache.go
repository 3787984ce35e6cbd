package redis

import (
	"strings"
	"sync"

	"github.com/millrace-go/millrace/store"
)

// cache keeps what this Store has written or read last, with its marks. What
// it knows may be old: a commit that was decided on it is checked by its script
// as any other, and decided anew on what the server has if it does not hold.
// What the cache does not know of is taken to be absent, but for messages and
// runs. So most commits need not read at all.
type cache struct {
	mu    sync.Mutex
	holds map[int64]string // marks of messages that workers hold
	runs  map[int64]known[*store.Run]
	ids   map[string]int64 // of these runs
	rows  map[store.RowKey]known[*store.Row]
	lost  map[store.RowKey]bool // rows that may be there or not
	size  int                   // of runs and rows, in bytes, about
}

type known[T any] struct {
	mark  string
	value T
}

const (
	cacheBytes = 32 << 20
	cacheHolds = 200_000
	cacheLost  = 10_000
)

func (c *cache) clear() {
	c.holds = map[int64]string{}
	c.runs = map[int64]known[*store.Run]{}
	c.ids = map[string]int64{}
	c.rows = map[store.RowKey]known[*store.Row]{}
	c.lost = map[store.RowKey]bool{}
	c.size = 0
}

// tidy starts anew when there is too much: there is no telling what is needed
// least.
func (c *cache) tidy() {
	if c.holds == nil || c.size > cacheBytes || len(c.holds) > cacheHolds || len(c.lost) > cacheLost {
		c.clear()
	}
}

func weightOf(r *store.Run) int {
	return 768 + len(r.ID) + len(r.Name) + len(r.State) + len(r.Result) + len(r.Error) + len(r.Tail)
}

func rowWeight(r *store.Row) int { return 256 + len(r.Owner) + len(r.Name) + len(r.Body) }

// keepRun takes up an open run; closed ones are seldom read again.
func (c *cache) keepRun(mark string, r *store.Run) {
	c.dropRun(r.Key)
	if r.Status.Closed() {
		return
	}
	c.runs[r.Key] = known[*store.Run]{mark, r}
	c.ids[r.ID] = r.Key
	c.size += weightOf(r)
}

func (c *cache) dropRun(key int64) {
	if old, ok := c.runs[key]; ok {
		delete(c.runs, key)
		delete(c.ids, old.value.ID)
		c.size -= weightOf(old.value)
	}
}

func (c *cache) keepRow(mark string, r *store.Row) {
	c.dropRow(r.RowKey)
	c.rows[r.RowKey] = known[*store.Row]{mark, r}
	c.size += rowWeight(r)
}

func (c *cache) dropRow(key store.RowKey) {
	if old, ok := c.rows[key]; ok {
		delete(c.rows, key)
		c.size -= rowWeight(old.value)
	}
}

// wrote takes up what a commit with a stamp writes.
func (c *cache) wrote(stamp int64, changes *store.Changes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy()
	mark := tokenOf(stamp)
	for _, seq := range changes.DeleteMessages {
		delete(c.holds, seq)
	}
	for _, m := range changes.PutMessages {
		if m.Held() {
			c.holds[m.Seq] = mark + store.Num(m.Worker)
		} else {
			delete(c.holds, m.Seq)
		}
	}
	for _, r := range changes.PutRuns {
		c.keepRun(mark, r)
	}
	for _, key := range changes.DeleteRows {
		c.dropRow(key)
	}
	for _, r := range changes.PutRows {
		c.keepRow(mark, r)
	}
}

// undo forgets what a commit with a stamp was to write.
func (c *cache) undo(stamp int64, changes *store.Changes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mark := tokenOf(stamp)
	for _, m := range changes.PutMessages {
		if strings.HasPrefix(c.holds[m.Seq], mark) {
			delete(c.holds, m.Seq)
		}
	}
	for _, r := range changes.PutRuns {
		if c.runs[r.Key].mark == mark {
			c.dropRun(r.Key)
		}
	}
	for _, r := range changes.PutRows {
		c.dropRow(r.RowKey)
		c.lost[r.RowKey] = true
	}
	for _, key := range changes.DeleteRows {
		c.dropRow(key)
		c.lost[key] = true
	}
}

// saw takes up what was read, and forgets what is not so any more.
func (c *cache) saw(r *reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy()
	for _, m := range r.messages {
		if len(m.mark) == holderSize && m.mark[stampSize:] != nobody {
			c.holds[m.key] = m.mark
		} else {
			delete(c.holds, m.key)
		}
	}
	for _, s := range r.runs {
		c.dropRun(s.key)
		if run := r.snap.Runs[s.key]; run != nil {
			c.keepRun(s.mark, run)
		}
	}
	for _, s := range r.rows {
		c.dropRow(s.key)
		delete(c.lost, s.key)
		if row := r.snap.Rows[s.key]; row != nil {
			c.keepRow(s.mark, row)
		}
	}
}

// grabbed takes up messages that a worker of this process holds from now on.
func (c *cache) grabbed(seq int64, mark string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy()
	c.holds[seq] = mark
}

// read answers what keys ask for, if it can. Whether the worker is alive is
// taken for granted.
func (c *cache) read(keys store.Keys) (*reading, bool) {
	if len(keys.Messages)+len(keys.Lists)+len(keys.Free)+len(keys.Named) > 0 {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &reading{keys: keys, snap: &store.Snapshot{Alive: keys.Worker != 0}}
	return r, c.readHolds(r) && c.readRuns(r) && c.readRows(r)
}

func (c *cache) readHolds(r *reading) bool {
	r.snap.Holds = room[int64, store.Hold](len(r.keys.Holds))
	r.messages = make([]standing[int64], 0, len(r.keys.Holds))
	for _, seq := range r.keys.Holds {
		mark, ok := c.holds[seq]
		if !ok {
			return false
		}
		r.messages = append(r.messages, standing[int64]{seq, mark})
		r.snap.Holds[seq] = store.Hold{Exists: true, Worker: number(mark[stampSize:])}
	}
	return true
}

func (c *cache) readRuns(r *reading) bool {
	r.snap.Runs = room[int64, *store.Run](len(r.keys.Runs))
	r.runs = make([]standing[int64], 0, len(r.keys.Runs))
	for _, key := range r.keys.Runs {
		if _, again := r.snap.Runs[key]; again {
			continue
		}
		k, ok := c.runs[key]
		if !ok {
			return false
		}
		r.runs = append(r.runs, standing[int64]{key, k.mark})
		r.snap.Runs[key] = k.value
	}
	r.snap.RunIDs = room[string, *store.Run](len(r.keys.RunIDs))
	r.ids = make([]standing[string], 0, len(r.keys.RunIDs))
	for _, id := range r.keys.RunIDs {
		key, ok := c.ids[id]
		r.ids = append(r.ids, standing[string]{id, numOrNone(key)})
		r.snap.RunIDs[id] = nil
		if ok {
			r.runs = append(r.runs, standing[int64]{key, c.runs[key].mark})
			r.snap.RunIDs[id] = c.runs[key].value
		}
	}
	return true
}

func (c *cache) readRows(r *reading) bool {
	r.snap.Rows = room[store.RowKey, *store.Row](len(r.keys.Rows))
	r.rows = make([]standing[store.RowKey], 0, len(r.keys.Rows))
	for _, key := range r.keys.Rows {
		if _, again := r.snap.Rows[key]; again {
			continue
		}
		if c.lost[key] {
			return false
		}
		k := c.rows[key]
		r.rows = append(r.rows, standing[store.RowKey]{key, k.mark})
		r.snap.Rows[key] = k.value
	}
	return true
}
