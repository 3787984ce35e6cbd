package postgres

import (
	"cmp"
	"database/sql/driver"
	"fmt"
	"slices"

	"github.com/lib/pq"
	"github.com/lib/pq/oid"

	"github.com/millrace-go/millrace/store"
)

// writeArgs are the arrays that millrace_write takes, in its order: bodies,
// which it takes as one, and all others.
type writeArgs struct {
	drop                  dropArgs
	blindSeqs             *array
	insert, update        messageArgs
	expected              *array
	runs, advances        runArgs
	runMarks              *array
	created, put, was     rowArgs
	wasMarks              *array
	cut                   keyArgs
	cutMarks              *array
	absent                keyArgs
	absentKeys, absentIDs *array
	topics, priorities    *array
	endTimes, ended       *array        // when runs ended, and which
	endedAt               store.Instant // when all of them did; 0: not at one time

	bodies, others []*array
	all            *array // of bodies
}

// dropArgs are messages that go, as stretches of numbers that follow each other
// and are held by one worker.
type dropArgs struct {
	firsts, lasts, workers *array

	n                   int64 // all that were added
	first, last, worker int64 // the stretch that the next may belong to
}

type messageArgs struct {
	seqs, runs, dues, workers, published, priorities, topics, names, bodies *array
}

type runArgs struct{ keys, ids, names, statuses, ended, bodies *array }

type rowArgs struct {
	keyArgs
	untils, bodies *array
}

type keyArgs struct{ kinds, owners, names *array }

func newWriteArgs() *writeArgs {
	a := &writeArgs{all: newArray(oid.T_bytea)}
	arrays(&a.bodies, oid.T_bytea, &a.advances.bodies, &a.insert.bodies, &a.runs.bodies, &a.update.bodies)
	arrays(&a.bodies, oid.T_bytea, &a.was.bodies, &a.created.bodies, &a.put.bodies)
	arrays(&a.others, oid.T_int8, &a.drop.firsts, &a.drop.lasts, &a.drop.workers, &a.blindSeqs)
	a.insert.list(&a.others)
	a.update.list(&a.others)
	arrays(&a.others, oid.T_int8, &a.expected)
	a.runs.list(&a.others, true)
	a.advances.list(&a.others, false)
	arrays(&a.others, oid.T_int4, &a.runMarks)
	a.created.list(&a.others)
	a.put.list(&a.others)
	a.was.list(&a.others)
	arrays(&a.others, oid.T_int4, &a.wasMarks)
	a.cut.list(&a.others)
	arrays(&a.others, oid.T_int4, &a.cutMarks)
	a.absent.list(&a.others)
	arrays(&a.others, oid.T_int8, &a.absentKeys)
	arrays(&a.others, oid.T_text, &a.absentIDs)
	arrays(&a.others, oid.T_text, &a.topics)
	arrays(&a.others, oid.T_int8, &a.priorities, &a.endTimes, &a.ended)
	return a
}

func (m *messageArgs) list(all *[]*array) {
	arrays(all, oid.T_int8, &m.seqs, &m.runs, &m.dues, &m.workers, &m.published, &m.priorities)
	arrays(all, oid.T_text, &m.topics, &m.names)
}

func (r *runArgs) list(all *[]*array, ids bool) {
	arrays(all, oid.T_int8, &r.keys)
	if ids {
		arrays(all, oid.T_text, &r.ids)
	}
	arrays(all, oid.T_text, &r.names)
	arrays(all, oid.T_int8, &r.statuses, &r.ended)
}

func (k *keyArgs) list(all *[]*array) {
	arrays(all, oid.T_int2, &k.kinds)
	arrays(all, oid.T_text, &k.owners, &k.names)
}

func (r *rowArgs) list(all *[]*array) {
	r.keyArgs.list(all)
	arrays(all, oid.T_int8, &r.untils)
}

func (k *keyArgs) add(key store.RowKey) {
	k.kinds.integer(int64(key.Kind))
	k.owners.text(key.Owner)
	k.names.text(key.Name)
}

func (r *rowArgs) add(row *store.Row) {
	r.keyArgs.add(row.RowKey)
	r.untils.integer(int64(row.Until))
	r.bodies.bytes(row.Body)
}

// add takes messages in the order of their numbers. flush must follow the last.
func (d *dropArgs) add(seq, worker int64) {
	if d.n > 0 && seq == d.last+1 && worker == d.worker {
		d.last = seq
	} else {
		d.flush()
		d.first, d.last, d.worker = seq, seq, worker
	}
	d.n++
}

func (d *dropArgs) flush() {
	if d.n == 0 {
		return
	}
	d.firsts.integer(d.first)
	d.lasts.integer(d.last)
	d.workers.integer(d.worker)
}

func (m *messageArgs) add(msg *store.Message) {
	m.seqs.integer(msg.Seq)
	m.runs.integer(msg.Run)
	m.dues.integer(int64(msg.Due))
	m.workers.integer(msg.Worker)
	m.published.integer(int64(msg.Published))
	m.priorities.integer(int64(msg.Priority))
	m.topics.text(msg.Topic)
	m.names.textOrNull(msg.Name)
	m.bodies.body(msg)
}

func (r *runArgs) add(run *store.Run) {
	r.keys.integer(run.Key)
	if r.ids != nil {
		r.ids.text(run.ID)
	}
	r.names.text(run.Name)
	r.statuses.integer(int64(run.Status))
	r.ended.integer(int64(run.Ended))
	r.bodies.body(run)
}

// writing returns the arguments of millrace_write, emptied.
func (b *buffers) writing() *writeArgs {
	if b.write == nil {
		b.write = newWriteArgs()
	}
	for _, list := range [][]*array{b.write.bodies, b.write.others} {
		for _, a := range list {
			a.reset()
		}
	}
	b.write.drop.n, b.write.endedAt = 0, 0
	return b.write
}

// joint returns all bodies, in the order in which millrace_write takes them.
func (a *writeArgs) joint() *array {
	a.all.reset()
	for _, list := range a.bodies {
		a.all.add(list)
	}
	return a.all
}

// rare reports whether there is anything that most commits don't write.
func (a *writeArgs) rare() bool {
	for _, list := range []*array{
		a.blindSeqs, a.update.seqs, a.created.kinds, a.put.kinds, a.cut.kinds, a.absent.kinds, a.absentKeys, a.topics,
	} {
		if list.n > 0 {
			return true
		}
	}
	return false
}

// changer writes changes.
type changer struct {
	x      executor
	snap   *store.Snapshot
	guess  *guess  // how what was decided on stood, if it is not locked
	queues *queues // where the database knows of; those that it may not know are told
	news   []queue // told
	mark   int64   // 0: none
	number int64
	at     any  // the injected clock's time, or nil
	fresh  bool // numbers are wanted

	// The answer.
	xid     int64 // of the transaction
	now     store.Instant
	numbers int64
}

func (w *changer) apply(c *store.Changes) error {
	a := w.x.buffers().writing()
	w.dropMessages(a, c.DeleteMessages)
	w.putMessages(a, c)
	ids := w.putRuns(a, c)
	w.putRows(a, c)
	w.keepAbsentIDs(a, ids)
	home, fence := "", int64(0)
	if w.guess != nil {
		home, fence = w.guess.home, w.guess.fence
	}
	args := make([]any, 0, 10+len(a.others))
	args = append(args, a.joint(), w.mark, w.number, home, fence, w.at, w.fresh, a.rare(), a.drop.n, int64(a.endedAt))
	for _, list := range a.others {
		args = append(args, list)
	}
	return w.x.query(sqlWrite, func(row []driver.Value) error {
		var answer pq.Int64Array
		if err := answer.Scan(row[0]); err != nil {
			return err
		}
		w.xid, w.now, w.numbers = answer[0], store.Instant(answer[1]), answer[2]
		return nil
	}, args...)
}

// isNew reports whether a number was given to this commit.
func (w *changer) isNew(c *store.Changes, n int64) bool {
	return n >= w.snap.NextSeq && n < w.snap.NextSeq+c.Seqs
}

// putRuns returns the ids of those that are new. Others are in the order of
// keys, in which all lock them.
func (w *changer) putRuns(a *writeArgs, c *store.Changes) (ids map[string]bool) {
	var old []*store.Run
	for _, r := range c.PutRuns {
		if was := w.snap.Runs[r.Key]; r.Ended > 0 && (was == nil || was.Ended != r.Ended) {
			if a.ended.n == 0 {
				a.endedAt = r.Ended
			} else if a.endedAt != r.Ended {
				a.endedAt = 0
			}
			a.endTimes.integer(int64(r.Ended))
			a.ended.integer(r.Key)
		}
		if !w.isNew(c, r.Key) {
			old = append(old, r)
			continue
		}
		if ids == nil {
			ids = make(map[string]bool, len(c.PutRuns))
		}
		ids[r.ID] = true
		a.runs.add(r)
	}
	slices.SortFunc(old, func(a, b *store.Run) int { return cmp.Compare(a.Key, b.Key) })
	for _, r := range old {
		a.advances.add(r)
		a.runMarks.integer(int64(w.guess.run(r.Key)))
	}
	return ids
}

// holder returns who held a message when it was read, if it was.
func (w *changer) holder(seq int64) (worker int64, known bool) {
	if h, ok := w.snap.Holds[seq]; ok && h.Exists {
		return h.Worker, true
	}
	if m := w.snap.Messages[seq]; m != nil {
		return m.Worker, true
	}
	return 0, false
}

func (w *changer) dropMessages(a *writeArgs, seqs []int64) {
	for _, seq := range slices.Sorted(slices.Values(seqs)) {
		if worker, known := w.holder(seq); known {
			a.drop.add(seq, worker)
		} else {
			a.blindSeqs.integer(seq)
		}
	}
	a.drop.flush()
}

func (w *changer) putMessages(a *writeArgs, c *store.Changes) {
	w.news = w.queues.unknown(w.news[:0], c.PutMessages)
	for _, q := range w.news {
		a.topics.text(q.topic)
		a.priorities.integer(int64(q.priority))
	}
	for _, m := range c.PutMessages {
		if w.isNew(c, m.Seq) {
			a.insert.add(m)
			continue
		}
		a.update.add(m)
		if worker, known := w.holder(m.Seq); known {
			a.expected.integer(worker)
		} else {
			a.expected.nothing()
		}
	}
}

// putRows tells rows that were absent, and must still be, from others. Absent
// ones that stay absent are kept so, unless a run's lock does that.
func (w *changer) putRows(a *writeArgs, c *store.Changes) {
	written := 0
	byKey := func(a, b *store.Row) int { return compareKeys(a.RowKey, b.RowKey) }
	for _, r := range slices.SortedFunc(slices.Values(c.PutRows), byKey) {
		old, read := w.snap.Rows[r.RowKey]
		mark := w.guess.row(r.RowKey)
		switch {
		case read && old == nil:
			a.created.add(r)
			written++
		case mark != 0:
			a.was.add(r)
			a.wasMarks.integer(int64(mark))
		default:
			a.put.add(r)
		}
	}
	for _, k := range slices.SortedFunc(slices.Values(c.DeleteRows), compareKeys) {
		a.cut.add(k)
		a.cutMarks.integer(int64(w.guess.row(k)))
	}
	absent := 0
	for _, r := range w.snap.Rows {
		if r == nil {
			absent++
		}
	}
	if absent == written {
		return
	}
	put := make(map[store.RowKey]bool, len(c.PutRows))
	for _, r := range c.PutRows {
		put[r.RowKey] = true
	}
	for k, r := range w.snap.Rows {
		if r == nil && !put[k] && (w.guess != nil || !guarded(w.snap, k.Owner)) {
			a.absent.add(k)
		}
	}
}

func compareKeys(a, b store.RowKey) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Name, b.Name))
}

func (w *changer) keepAbsentIDs(a *writeArgs, inserted map[string]bool) {
	for id, r := range w.snap.RunIDs {
		if r == nil && !inserted[id] {
			a.absentKeys.integer(-w.snap.NextSeq - int64(a.absentKeys.n))
			a.absentIDs.text(id)
		}
	}
}

// check refuses numbers that were not given out: they would collide with later
// ones. What was read is there.
func check(c *store.Changes, snap *store.Snapshot) error {
	end := snap.NextSeq + c.Seqs
	for _, m := range c.PutMessages {
		if m.Seq <= 0 || m.Seq >= end && !isRead(snap, m.Seq) {
			return fmt.Errorf("message %d: the number was not given out", m.Seq)
		}
	}
	for _, r := range c.PutRuns {
		if r.Key <= 0 || r.Key >= end && snap.Runs[r.Key] == nil && !runIsRead(snap, r.Key) {
			return fmt.Errorf("run %d: the number was not given out", r.Key)
		}
	}
	return nil
}

func isRead(snap *store.Snapshot, seq int64) bool {
	if snap.Holds[seq].Exists || snap.Messages[seq] != nil {
		return true
	}
	same := func(m *store.Message) bool { return m != nil && m.Seq == seq }
	for _, list := range snap.Free {
		if slices.ContainsFunc(list, same) {
			return true
		}
	}
	for _, m := range snap.Named {
		if same(m) {
			return true
		}
	}
	return false
}

func runIsRead(snap *store.Snapshot, key int64) bool {
	for _, r := range snap.RunIDs {
		if r != nil && r.Key == key {
			return true
		}
	}
	return false
}
