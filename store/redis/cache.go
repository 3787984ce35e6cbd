package redis

import (
	"strings"
	"sync"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/internal/known"
)

// cache keeps what this Store has written or read last, with its marks. What
// it knows may be old: the script of a commit that was decided on it compares it
// or finds that this Store was alone since, and if neither holds, the commit is
// decided anew on what the server has. Messages and runs that the cache does not
// know of must be read.
type cache struct {
	mu    sync.Mutex
	holds map[int64]mark // of messages that workers hold
	known.Cache[mark]
}

const mostHolds = 200_000

// tidy starts anew when there is too much.
func (c *cache) tidy() {
	if c.Tidy() || len(c.holds) > mostHolds {
		c.holds = map[int64]mark{}
	}
}

// markOf is the mark of what a commit of this Store leaves.
func markOf(stamp int64) mark { return mark{text: tokenOf(stamp), own: stamp} }

// wrote takes up what a commit writes. An update of what is gone does nothing:
// what was not read, or not there then, is forgotten.
func (c *cache) wrote(w *writing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy()
	left := markOf(w.first)
	for _, seq := range w.changes.DeleteMessages {
		delete(c.holds, seq)
	}
	for _, m := range w.changes.PutMessages {
		switch {
		case !m.Held() || !w.isNew(m.Seq) && !there(w.messages, m.Seq):
			delete(c.holds, m.Seq)
		case m.Name == "":
			c.holds[m.Seq] = mark{text: left.text + store.Num(m.Worker), own: w.first}
		default:
			c.holds[m.Seq] = mark{text: left.text + store.Num(m.Worker)} // its name must be looked for
		}
	}
	c.Wrote(left, w.changes)
	for _, r := range w.changes.PutRuns {
		if !w.isNew(r.Key) && !there(w.runs, r.Key) {
			c.DropRun(r.Key)
		}
	}
}

// undo forgets what a commit with a stamp was to write.
func (c *cache) undo(stamp int64, changes *store.Changes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := markOf(stamp)
	for _, m := range changes.PutMessages {
		if strings.HasPrefix(c.holds[m.Seq].text, left.text) {
			delete(c.holds, m.Seq)
		}
	}
	c.Failed(left, changes)
}

// saw takes up what was read, and forgets what is not so any more.
func (c *cache) saw(r *reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy()
	for _, m := range r.messages {
		if len(m.Mark.text) == holderSize && m.Mark.text[stampSize:] != nobody {
			c.holds[m.Key] = m.Mark
		} else {
			delete(c.holds, m.Key)
		}
	}
	for _, s := range r.runs {
		c.DropRun(s.Key)
		if run := r.snap.Runs[s.Key]; run != nil {
			c.KeepRun(s.Mark, run)
		}
	}
	for _, s := range r.rows {
		c.DropRow(s.Key)
		if row := r.snap.Rows[s.Key]; row != nil {
			c.KeepRow(s.Mark, row)
		}
	}
}

// grabbed takes up messages that a worker of this process holds from now on.
func (c *cache) grabbed(seq int64, stamp string, worker int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy()
	c.holds[seq] = mark{text: stamp + store.Num(worker)}
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
	if !c.readHolds(r) {
		return nil, false
	}
	marks, ok := c.Read(&keys, r.snap)
	r.runs, r.rows = marks.Runs, marks.Rows
	r.ids = make([]standing[string], 0, len(keys.RunIDs))
	for _, id := range keys.RunIDs {
		key := ""
		if run := r.snap.RunIDs[id]; run != nil {
			key = store.Num(run.Key)
		}
		r.ids = append(r.ids, standing[string]{Key: id, Mark: mark{text: key}})
	}
	return r, ok
}

func (c *cache) readHolds(r *reading) bool {
	r.snap.Holds = room[int64, store.Hold](len(r.keys.Holds))
	r.messages = make([]standing[int64], 0, len(r.keys.Holds))
	for _, seq := range r.keys.Holds {
		mark, ok := c.holds[seq]
		if !ok {
			return false
		}
		r.messages = append(r.messages, standing[int64]{Key: seq, Mark: mark})
		r.snap.Holds[seq] = store.Hold{Exists: true, Worker: number(mark.text[stampSize:])}
	}
	return true
}
