package step

import (
	"maps"
	"slices"
	"strings"

	"github.com/millrace-go/millrace/store"
)

// view is a snapshot with what the fold has changed so far laid over it.
type view struct {
	snap  *store.Snapshot
	env   Env
	res   *Result
	room  map[string]int
	spare int            // of room, while an outcome is folded that is no step's
	give  map[string]int // by topic: how many messages the broker may still be given
	here  bool           // what is brought forth now does not go to the broker
	next  int64          // next free number
	need  store.Keys

	messages map[int64]*store.Message // put; nil: deleted
	order    []int64                  // keys of messages, as first touched
	runs     map[int64]*runView
	runOrder []int64
	runIDs   map[string]int64 // of runs begun in this fold
	rows     map[store.RowKey]*rowView
	rowOrder []store.RowKey
	counts   CounterRow // what this fold adds
	entry    []byte     // the last history entry, encoded
}

type runView struct {
	store.Run
	was     ledger // as of the last history entry
	changed bool
	fired   []string // joins that fired or ended since the last history entry
	dropped []string // ids of messages and names of joins that were cancelled since
}

// ledger is what of a run a history entry tells the change of.
type ledger struct {
	open, waiting, dead, undos int
	status                     store.Status
	reason                     string
}

func ledgerOf(r *store.Run) ledger {
	return ledger{r.Open, r.Waiting, r.Dead, r.Undos, r.Status, r.Error}
}

type rowView struct {
	val     any // pointer to the decoded body; nil: absent
	until   store.Instant
	changed bool
}

// errMore ends the fold of an outcome that needs rows that were not read. It
// travels as a panic, within this package only, so that the rules read as if
// everything were there.
type errMore struct{}

// errDamaged ends the fold of an outcome that met a row that doesn't decode.
type errDamaged struct{ err error }

// errInvalid ends the fold of an outcome whose decisions contradict the run.
type errInvalid struct{ err error }

func newView(snap *store.Snapshot, env Env, outcomes int) *view {
	v := &view{
		snap: snap, env: env, next: snap.NextSeq,
		res:      &Result{Verdicts: make([]Verdict, outcomes)},
		room:     make(map[string]int, len(env.Room)),
		messages: make(map[int64]*store.Message, 2*outcomes),
		order:    make([]int64, 0, 2*outcomes),
		runs:     make(map[int64]*runView, outcomes),
		runIDs:   map[string]int64{},
		rows:     map[store.RowKey]*rowView{},
	}
	for t, n := range env.Room {
		v.room[t] = n
	}
	if env.Broker != nil {
		v.give = maps.Clone(env.Broker.Room)
	}
	return v
}

func (v *view) seq() int64 {
	v.next++
	return v.next - 1
}

// isNew reports whether a number was given out in this very fold. That it is
// higher than those which were given out before does not say so: each process
// may draw its numbers in blocks.
func (v *view) isNew(seq int64) bool { return seq >= v.snap.NextSeq && seq < v.next }

// now returns the store's clock.
func (v *view) now() store.Instant { return v.snap.Now }

// hold returns who holds a message, as this fold has left it.
func (v *view) hold(seq int64) store.Hold {
	if m, ok := v.messages[seq]; ok {
		if m == nil {
			return store.Hold{}
		}
		return store.Hold{Exists: true, Worker: m.Worker}
	}
	h, ok := v.snap.Holds[seq]
	if !ok {
		v.need.Holds = append(v.need.Holds, seq)
		panic(errMore{})
	}
	return h
}

// message returns a message that is not in the engine's hands.
func (v *view) message(seq int64) *store.Message {
	if m, ok := v.messages[seq]; ok {
		return m
	}
	m, ok := v.snap.Messages[seq]
	if !ok {
		v.need.Messages = append(v.need.Messages, seq)
		panic(errMore{})
	}
	return m
}

// named returns the message of a run that has a timer's name.
func (v *view) named(run int64, name string) *store.Message {
	for _, seq := range v.order {
		if m := v.messages[seq]; m != nil && m.Run == run && m.Name == name {
			return m
		}
	}
	key := store.Named{Run: run, Name: name}
	m, ok := v.snap.Named[key]
	if !ok {
		v.need.Named = append(v.need.Named, key)
		panic(errMore{})
	}
	if m != nil {
		if now, touched := v.messages[m.Seq]; touched {
			return now
		}
	}
	return m
}

// free returns free messages of a run, those of this fold first.
func (v *view) free(run int64, limit int) (out []*store.Message, more bool) {
	for _, seq := range v.order {
		m := v.messages[seq]
		if m != nil && m.Run == run && (m.Worker == 0 || v.isNew(seq)) {
			out = append(out, m)
		}
	}
	key := store.Free{Run: run, Limit: limit}
	list, ok := v.snap.Free[key]
	if !ok {
		v.need.Free = append(v.need.Free, key)
		panic(errMore{})
	}
	for _, m := range list {
		if _, touched := v.messages[m.Seq]; !touched {
			out = append(out, m)
		}
	}
	return out, len(list) == limit
}

func (v *view) putMessage(m *store.Message) {
	if _, ok := v.messages[m.Seq]; !ok {
		v.order = append(v.order, m.Seq)
	}
	v.messages[m.Seq] = m
}

func (v *view) deleteMessage(seq int64) {
	if _, ok := v.messages[seq]; !ok {
		v.order = append(v.order, seq)
	}
	v.messages[seq] = nil
}

// run returns a run to change, or nil when there is none.
func (v *view) run(key int64) *runView {
	if r, ok := v.runs[key]; ok {
		return r
	}
	r, ok := v.snap.Runs[key]
	if !ok {
		v.need.Runs = append(v.need.Runs, key)
		panic(errMore{})
	}
	return v.adopt(r)
}

func (v *view) runByID(id string) *runView {
	if key, ok := v.runIDs[id]; ok {
		return v.runs[key]
	}
	r, ok := v.snap.RunIDs[id]
	if !ok {
		v.need.RunIDs = append(v.need.RunIDs, id)
		panic(errMore{})
	}
	if r == nil {
		return nil
	}
	if known, ok := v.runs[r.Key]; ok {
		return known
	}
	return v.adopt(r)
}

func (v *view) adopt(r *store.Run) *runView {
	if r == nil {
		return nil
	}
	rv := &runView{Run: *r, was: ledgerOf(r)}
	v.runs[r.Key] = rv
	v.runOrder = append(v.runOrder, r.Key)
	return rv
}

func (v *view) addRun(r store.Run) *runView {
	rv := &runView{Run: r, was: ledger{status: store.Running}, changed: true}
	v.runs[r.Key] = rv
	v.runOrder = append(v.runOrder, r.Key)
	v.runIDs[r.ID] = r.Key
	return rv
}

// get returns the decoded row, or nil when there is none.
func get[T any](v *view, kind store.RowKind, owner, name string) *T {
	key := store.RowKey{Kind: kind, Owner: owner, Name: name}
	if _, ok := v.rows[key]; ok {
		return listed[T](v, key)
	}
	row, ok := v.snap.Rows[key]
	if !ok {
		v.need.Rows = append(v.need.Rows, key)
		panic(errMore{})
	}
	if row == nil {
		return nil
	}
	return decode[T](v, row)
}

func decode[T any](v *view, row *store.Row) *T {
	val := new(T)
	if err := store.Unmarshal(row.Body, val); err != nil {
		panic(errDamaged{err})
	}
	v.setRow(row.RowKey, &rowView{val: val, until: row.Until})
	return val
}

// list returns the first rows of an owner, by name, with those of this fold.
func (v *view) list(kind store.RowKind, owner string, limit int) (keys []store.RowKey, more bool) {
	want := store.List{Kind: kind, Owner: owner, Limit: limit}
	stored, ok := v.snap.Lists[want]
	if !ok {
		v.need.Lists = append(v.need.Lists, want)
		panic(errMore{})
	}
	for _, row := range stored {
		if _, touched := v.rows[row.RowKey]; !touched {
			v.setRow(row.RowKey, &rowView{val: row, until: row.Until})
		}
	}
	for _, key := range v.rowOrder {
		if key.Kind == kind && key.Owner == owner && v.rows[key].val != nil {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b store.RowKey) int { return strings.Compare(a.Name, b.Name) })
	return keys, len(stored) == limit
}

// listed returns a row that is in the view, decoded, or nil if it is deleted.
func listed[T any](v *view, key store.RowKey) *T {
	if row, ok := v.rows[key].val.(*store.Row); ok {
		return decode[T](v, row)
	}
	val, _ := v.rows[key].val.(*T)
	return val
}

func (v *view) setRow(key store.RowKey, rv *rowView) {
	if _, ok := v.rows[key]; !ok {
		v.rowOrder = append(v.rowOrder, key)
	}
	v.rows[key] = rv
}

// put stores val, a pointer, as the row's body.
func (v *view) put(kind store.RowKind, owner, name string, val any) {
	v.setRow(store.RowKey{Kind: kind, Owner: owner, Name: name}, &rowView{val: val, changed: true})
}

func (v *view) putUntil(kind store.RowKind, owner, name string, val any, until store.Instant) {
	v.setRow(store.RowKey{Kind: kind, Owner: owner, Name: name}, &rowView{val: val, until: until, changed: true})
}

func (v *view) delete(kind store.RowKind, owner, name string) {
	v.setRow(store.RowKey{Kind: kind, Owner: owner, Name: name}, &rowView{changed: true})
}

// changes writes down what the fold has changed.
func (v *view) changes() (*store.Changes, error) {
	c := &store.Changes{Seqs: v.next - v.snap.NextSeq}
	for _, seq := range v.order {
		switch m := v.messages[seq]; {
		case m != nil:
			c.PutMessages = append(c.PutMessages, m)
		case !v.isNew(seq):
			c.DeleteMessages = append(c.DeleteMessages, seq)
		}
	}
	for _, key := range v.runOrder {
		if r := v.runs[key]; r.changed {
			c.PutRuns = append(c.PutRuns, &r.Run)
		}
	}
	v.count()
	for _, key := range v.rowOrder {
		rv := v.rows[key]
		switch {
		case !rv.changed:
		case rv.val == nil:
			c.DeleteRows = append(c.DeleteRows, key)
		default:
			body, err := store.Marshal(rv.val)
			if err != nil {
				return nil, err
			}
			c.PutRows = append(c.PutRows, &store.Row{RowKey: key, Until: rv.until, Body: body})
		}
	}
	return c, nil
}

// count adds the fold's counts to the shard of its worker.
func (v *view) count() {
	if v.counts == (CounterRow{}) {
		return
	}
	key := counterKey(v.env.Worker, v.env.Lane)
	sum := v.counts
	if old := get[CounterRow](v, key.Kind, key.Owner, key.Name); old != nil {
		sum.Accepted += old.Accepted
		sum.Done += old.Done
		sum.Dead += old.Dead
		sum.Cancelled += old.Cancelled
		sum.Duplicates += old.Duplicates
	}
	v.put(key.Kind, key.Owner, key.Name, &sum)
}
