package postgres

import (
	"database/sql/driver"
	"slices"

	"github.com/lib/pq/oid"

	"github.com/millrace-go/millrace/store"
)

// buffers are arguments that are built again and again.
type buffers struct {
	load  *loadArgs
	write *writeArgs
}

// loadArgs are the arrays that millrace_load takes, in its order.
type loadArgs struct {
	holds, messages, runs, runIDs              *array
	lockKinds, lockOwners, lockNames           *array
	rowKinds, rowOwners, rowNames              *array
	listKinds, listOwners, listLimits, listLks *array
	freeRuns, freeLimits                       *array
	namedRuns, namedNames                      *array

	all []*array
}

// arrays makes empty arrays of a type and lists them.
func arrays(all *[]*array, elem oid.Oid, into ...**array) {
	for _, a := range into {
		*a = newArray(elem)
		*all = append(*all, *a)
	}
}

func newLoadArgs() *loadArgs {
	a := &loadArgs{}
	arrays(&a.all, oid.T_int8, &a.holds, &a.messages, &a.runs)
	arrays(&a.all, oid.T_text, &a.runIDs)
	arrays(&a.all, oid.T_int2, &a.lockKinds)
	arrays(&a.all, oid.T_text, &a.lockOwners, &a.lockNames)
	arrays(&a.all, oid.T_int2, &a.rowKinds)
	arrays(&a.all, oid.T_text, &a.rowOwners, &a.rowNames)
	arrays(&a.all, oid.T_int2, &a.listKinds)
	arrays(&a.all, oid.T_text, &a.listOwners)
	arrays(&a.all, oid.T_int8, &a.listLimits)
	arrays(&a.all, oid.T_int2, &a.listLks)
	arrays(&a.all, oid.T_int8, &a.freeRuns, &a.freeLimits, &a.namedRuns)
	arrays(&a.all, oid.T_text, &a.namedNames)
	return a
}

// load returns the arguments of millrace_load, emptied.
func (b *buffers) loading() *loadArgs {
	if b.load == nil {
		b.load = newLoadArgs()
	}
	for _, a := range b.load.all {
		a.reset()
	}
	return b.load
}

// reader locks and reads, and fills a snapshot.
type reader struct {
	x    executor
	at   any    // the injected clock's time, or nil
	name string // of the store; it must be this one
	snap *store.Snapshot
	args []any
}

// read adds to the snapshot what keys name. fresh draws new numbers.
func (r *reader) read(keys *store.Keys, fresh bool) error {
	a := r.x.buffers().loading()
	r.expect(keys)
	for _, seq := range keys.Holds {
		a.holds.integer(seq)
	}
	for _, seq := range keys.Messages {
		a.messages.integer(seq)
	}
	for _, key := range keys.Runs {
		a.runs.integer(key)
	}
	for _, id := range keys.RunIDs {
		a.runIDs.text(id)
	}
	r.rows(a, keys.Rows)
	for _, l := range keys.Lists {
		a.listKinds.integer(int64(l.Kind))
		a.listOwners.text(l.Owner)
		a.listLimits.integer(int64(max(l.Limit, 0)))
		a.listLks.integer(boolean(!guarded(r.snap, l.Owner)))
	}
	for _, f := range keys.Free {
		a.freeRuns.integer(f.Run)
		a.freeLimits.integer(int64(max(f.Limit, 0)))
	}
	for _, n := range keys.Named {
		a.namedRuns.integer(n.Run)
		a.namedNames.text(n.Name)
	}
	r.args = append(r.args[:0], keys.Worker, r.at, fresh)
	for _, list := range a.all {
		r.args = append(r.args, list)
	}
	return r.x.query(sqlLoad, func(row []driver.Value) error { return r.note(keys, row) }, r.args...)
}

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// rows lists rows that are not read yet, apart by what guards them.
func (r *reader) rows(a *loadArgs, keys []store.RowKey) {
	r.snap.Rows = room(r.snap.Rows, len(keys))
	for _, key := range keys {
		if _, asked := r.snap.Rows[key]; asked {
			continue
		}
		r.snap.Rows[key] = nil
		kinds, owners, names := a.lockKinds, a.lockOwners, a.lockNames
		if guarded(r.snap, key.Owner) {
			kinds, owners, names = a.rowKinds, a.rowOwners, a.rowNames
		}
		kinds.integer(int64(key.Kind))
		owners.text(key.Owner)
		names.text(key.Name)
	}
}

const numSize = len("0000000000000")

// guarded tells whether an owner's rows are those of a run that is locked: its
// name is the run's number, or begins with it and a slash.
func guarded(snap *store.Snapshot, owner string) bool {
	if len(owner) < numSize || len(owner) > numSize && owner[numSize] != '/' {
		return false
	}
	run, ok := store.ParseNum(owner[:numSize])
	if !ok {
		return false
	}
	_, locked := snap.Runs[run]
	return locked
}

// room returns a map for n more entries; none for none.
func room[K comparable, V any](m map[K]V, n int) map[K]V {
	if m == nil && n > 0 {
		return make(map[K]V, n)
	}
	return m
}

// expect enters what is told by not being told: held by the worker, absent.
func (r *reader) expect(keys *store.Keys) {
	s := r.snap
	s.Holds = room(s.Holds, len(keys.Holds))
	for _, seq := range keys.Holds {
		s.Holds[seq] = store.Hold{Exists: true, Worker: keys.Worker}
	}
	s.Messages = room(s.Messages, len(keys.Messages))
	for _, seq := range keys.Messages {
		s.Messages[seq] = nil
	}
	s.Runs = room(s.Runs, len(keys.Runs))
	for _, key := range keys.Runs {
		s.Runs[key] = nil
	}
	s.RunIDs = room(s.RunIDs, len(keys.RunIDs))
	for _, id := range keys.RunIDs {
		s.RunIDs[id] = nil
	}
	s.Lists = room(s.Lists, len(keys.Lists))
	for _, l := range keys.Lists {
		s.Lists[l] = nil
	}
	s.Free = room(s.Free, len(keys.Free))
	for _, f := range keys.Free {
		s.Free[f] = nil
	}
	s.Named = room(s.Named, len(keys.Named))
	for _, n := range keys.Named {
		s.Named[n] = nil
	}
}

// Parts of the answer of millrace_load.
const (
	partHead = iota
	partHold
	partMessage
	partRun
	partRow
	partListed
	partFree
	partNamed
)

// note takes a row of the answer: part, i, six numbers, two texts, body.
func (r *reader) note(keys *store.Keys, row []driver.Value) error {
	s, i := r.snap, int(integer(row[1]))
	switch integer(row[0]) {
	case partHead:
		return r.head(keys, row)
	case partHold:
		s.Holds[integer(row[2])] = store.Hold{Exists: i == 1, Worker: integer(row[3])}
	case partMessage:
		m, err := messageOf(row[2:])
		s.Messages[m.Seq] = m
		return err
	case partRun:
		return r.run(row)
	case partRow:
		found := loadedRow(row)
		s.Rows[found.RowKey] = found
	case partListed:
		if l := keys.Lists[i-1]; slices.Index(keys.Lists, l) == i-1 {
			s.Lists[l] = append(s.Lists[l], loadedRow(row))
		}
	case partFree:
		m, err := messageOf(row[2:])
		if f := keys.Free[i-1]; slices.Index(keys.Free, f) == i-1 {
			s.Free[f] = append(s.Free[f], m)
		}
		return err
	case partNamed:
		m, err := messageOf(row[2:])
		s.Named[keys.Named[i-1]] = m
		return err
	}
	return nil
}

func (r *reader) head(keys *store.Keys, row []driver.Value) error {
	r.snap.Now = instant(row[2])
	if next := integer(row[3]); next != 0 {
		r.snap.NextSeq = next
	}
	if keys.Worker != 0 {
		r.snap.Alive = integer(row[4]) == 1
	}
	if got := text(row[8]); got != r.name {
		return &otherStore{got: got, want: r.name}
	}
	return nil
}

// run notes a run under its key, its id, or both, as it was asked for.
func (r *reader) run(row []driver.Value) error {
	run := &store.Run{Key: integer(row[2]), Status: store.Status(integer(row[3])), Ended: instant(row[4]), ID: text(row[8]), Name: text(row[9])}
	if _, asked := r.snap.Runs[run.Key]; asked {
		r.snap.Runs[run.Key] = run
	}
	if _, asked := r.snap.RunIDs[run.ID]; asked {
		r.snap.RunIDs[run.ID] = run
	}
	return run.UnmarshalBody(blob(row[10]))
}

func loadedRow(row []driver.Value) *store.Row {
	return rowOf([]driver.Value{row[2], row[3], row[8], row[9], row[10]})
}
