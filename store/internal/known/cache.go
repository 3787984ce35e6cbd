// Package known is what a process knows of a database that others write to as
// well: the rows that it wrote or read last, the time, and how far all this has
// been right lately. A driver decides a commit on what is known, and has the
// database check it when the changes are written; so most commits read nothing.
package known

import "github.com/millrace-go/millrace/store"

// Cache keeps runs and rows with their marks, by which the database tells
// whether they still are what they were. A row that the cache does not know of
// is taken to be absent, unless it is in doubt. Not for concurrent use.
type Cache[M comparable] struct {
	runs    map[int64]entry[M, *store.Run]
	ids     map[string]int64 // of these runs
	rows    map[store.RowKey]entry[M, *store.Row]
	doubted map[store.RowKey]bool // may be there or not
	size    int                   // of runs and rows, in bytes, about
}

type entry[M comparable, T any] struct {
	mark  M
	value T
}

// Standing is how something stood: its mark, the zero one when it was absent.
type Standing[K, M comparable] struct {
	Key  K
	Mark M
}

// Marks are how what a commit was decided on stood, each once.
type Marks[M comparable] struct {
	Runs []Standing[int64, M]
	Rows []Standing[store.RowKey, M]
}

const (
	mostBytes   = 32 << 20
	mostDoubted = 10_000
)

// Tidy starts anew when there is too much, and reports whether it did: there is
// no telling what is needed least. The zero cache must be tidied before it is
// used.
func (c *Cache[M]) Tidy() bool {
	if c.runs != nil && c.size <= mostBytes && len(c.doubted) <= mostDoubted {
		return false
	}
	c.Clear()
	return true
}

// Clear forgets everything.
func (c *Cache[M]) Clear() {
	*c = Cache[M]{
		runs:    map[int64]entry[M, *store.Run]{},
		ids:     map[string]int64{},
		rows:    map[store.RowKey]entry[M, *store.Row]{},
		doubted: map[store.RowKey]bool{},
	}
}

func weightOf(r *store.Run) int {
	return 768 + len(r.ID) + len(r.Name) + len(r.State) + len(r.Result) + len(r.Error) + len(r.Tail)
}

func rowWeight(r *store.Row) int { return 256 + len(r.Owner) + len(r.Name) + len(r.Body) }

// KeepRun takes up an open run; closed ones are seldom read again.
func (c *Cache[M]) KeepRun(mark M, r *store.Run) {
	c.DropRun(r.Key)
	if r.Status.Closed() {
		return
	}
	c.runs[r.Key] = entry[M, *store.Run]{mark, r}
	c.ids[r.ID] = r.Key
	c.size += weightOf(r)
}

// DropRun forgets a run.
func (c *Cache[M]) DropRun(key int64) {
	if old, ok := c.runs[key]; ok {
		delete(c.runs, key)
		delete(c.ids, old.value.ID)
		c.size -= weightOf(old.value)
	}
}

// DropID forgets the run that has an id.
func (c *Cache[M]) DropID(id string) {
	if key, ok := c.ids[id]; ok {
		c.DropRun(key)
	}
}

// KeepRow takes up a row.
func (c *Cache[M]) KeepRow(mark M, r *store.Row) {
	c.DropRow(r.RowKey)
	c.rows[r.RowKey] = entry[M, *store.Row]{mark, r}
	c.size += rowWeight(r)
}

// DropRow notes that a row is absent.
func (c *Cache[M]) DropRow(key store.RowKey) {
	delete(c.doubted, key)
	if old, ok := c.rows[key]; ok {
		delete(c.rows, key)
		c.size -= rowWeight(old.value)
	}
}

// DoubtRow notes that a row may be there or not.
func (c *Cache[M]) DoubtRow(key store.RowKey) {
	c.DropRow(key)
	c.doubted[key] = true
}

// Wrote takes up what a commit has written under a mark, or is about to write.
func (c *Cache[M]) Wrote(mark M, changes *store.Changes) {
	for _, r := range changes.PutRuns {
		c.KeepRun(mark, r)
	}
	for _, key := range changes.DeleteRows {
		c.DropRow(key)
	}
	for _, r := range changes.PutRows {
		c.KeepRow(mark, r)
	}
}

// Failed doubts what a commit was about to write under a mark.
func (c *Cache[M]) Failed(mark M, changes *store.Changes) {
	for _, r := range changes.PutRuns {
		if c.runs[r.Key].mark == mark {
			c.DropRun(r.Key)
		}
	}
	c.doubtRows(changes)
}

// Doubt doubts what changes are about.
func (c *Cache[M]) Doubt(changes *store.Changes) {
	for _, r := range changes.PutRuns {
		c.DropRun(r.Key)
	}
	c.doubtRows(changes)
}

func (c *Cache[M]) doubtRows(changes *store.Changes) {
	for _, key := range changes.DeleteRows {
		c.DoubtRow(key)
	}
	for _, r := range changes.PutRows {
		c.DoubtRow(r.RowKey)
	}
}

// Read adds to a snapshot the runs and rows that keys name, as far as they are
// known, and says how they stood. ok is false if a run, or a row in doubt, is
// not.
func (c *Cache[M]) Read(keys *store.Keys, snap *store.Snapshot) (marks Marks[M], ok bool) {
	snap.Runs = room[int64, *store.Run](len(keys.Runs))
	snap.RunIDs = room[string, *store.Run](len(keys.RunIDs))
	snap.Rows = room[store.RowKey, *store.Row](len(keys.Rows))
	marks.Runs = make([]Standing[int64, M], 0, len(keys.Runs))
	for _, key := range keys.Runs {
		if _, again := snap.Runs[key]; again {
			continue
		}
		e, ok := c.runs[key]
		if !ok {
			return marks, false
		}
		marks.Runs = append(marks.Runs, Standing[int64, M]{key, e.mark})
		snap.Runs[key] = e.value
	}
	for _, id := range keys.RunIDs {
		key, ok := c.ids[id]
		if !ok {
			snap.RunIDs[id] = nil
			continue
		}
		e := c.runs[key]
		snap.RunIDs[id] = e.value
		if _, again := snap.Runs[key]; !again {
			marks.Runs = append(marks.Runs, Standing[int64, M]{key, e.mark})
		}
	}
	return marks, c.readRows(keys, snap, &marks)
}

func (c *Cache[M]) readRows(keys *store.Keys, snap *store.Snapshot, marks *Marks[M]) bool {
	marks.Rows = make([]Standing[store.RowKey, M], 0, len(keys.Rows))
	for _, key := range keys.Rows {
		if _, again := snap.Rows[key]; again {
			continue
		}
		if c.doubted[key] {
			return false
		}
		e := c.rows[key]
		marks.Rows = append(marks.Rows, Standing[store.RowKey, M]{key, e.mark})
		snap.Rows[key] = e.value
	}
	return true
}

// room returns a map for n entries, if there are any.
func room[K comparable, V any](n int) map[K]V {
	if n == 0 {
		return nil
	}
	return make(map[K]V, n)
}
