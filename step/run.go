package step

import (
	"crypto/sha256"
	"fmt"
	"hash/fnv"

	"github.com/millrace-go/millrace/store"
)

// sweepPiece is how many messages and joins of a stopped run are dropped in
// one commit.
const sweepPiece = 256

// begin starts a run, once for each id.
func (v *view) begin(s *Start) Verdict {
	input := sha256.Sum256(append(append([]byte(s.Task), 0), s.Input...))
	if r := v.runByID(s.RunID); r != nil {
		switch {
		case r.Name != s.Task || r.Input != input:
			return Verdict{Code: Conflict, Run: &r.Run}
		case r.Nonce == s.Nonce:
			return Verdict{Code: Applied, Run: &r.Run}
		}
		return Verdict{Code: Existed, Run: &r.Run}
	}
	r := v.newRun(s.RunID, s.Task)
	r.Input, r.Nonce, r.OnDead = input, s.Nonce, uint8(s.OnDead)
	m := v.send(r, RootID(s.RunID, v.now()), &Send{Task: s.Task, Payload: s.Input, Meta: s.Meta, At: s.At})
	entry := &Entry{Kind: "started", Task: s.Task, Input: input[:]}
	entry.sent(m)
	v.settle(r, entry)
	return Verdict{Code: Applied, Run: &r.Run}
}

func (v *view) newRun(id, name string) *runView {
	return v.addRun(store.Run{
		Key: v.seq(), ID: id, Name: name, Status: store.Running, Slot: slot(id),
		Started: v.now(), Updated: v.now(),
	})
}

func slot(id string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return int(h.Sum32() % store.Slots)
}

// insert takes in messages from outside any run, once for each source id.
func (v *view) insert(o *Outcome) Verdict {
	src := o.Source
	key := inboxKey(src)
	if src.Held && !v.snap.Alive {
		return Verdict{Code: LeaseLost}
	}
	if row := get[InboxRow](v, key.Kind, key.Owner, key.Name); row != nil {
		v.counts.Duplicates++
		v.answerAgain(src, row)
		return Verdict{Code: Existed}
	}
	v.putUntil(key.Kind, key.Owner, key.Name, &InboxRow{}, v.now().Add(src.Retention))
	if src.Home != nil {
		v.remember(src, &InboxRow{})
	}
	if o.Failure != nil {
		v.answer(src, v.refusal(o.Failure))
		return Verdict{Code: Applied}
	}
	base := join(prefix(v.now()), "insert", src.Consumer+"\x00"+src.ID, 0)
	verdict := Verdict{Code: Applied}
	v.here = src.Here || src.Home != nil
	defer func() { v.here = false }()
	for i := range o.Sends {
		id := base
		if len(o.Sends) > 1 {
			id = ChildID(base, i)
		}
		m := v.newMessage(id, &o.Sends[i])
		m.Name = "" // names are those of a run
		lodge(m, src.Home)
		if !src.Held {
			v.bear(m)
			continue
		}
		m.Worker, m.Due = v.env.Worker, 0
		v.counts.Accepted++
		v.putMessage(m)
		verdict.Message = m
	}
	return verdict
}

func inboxKey(s *Source) store.RowKey {
	return store.RowKey{Kind: store.Inbox, Owner: s.Consumer, Name: s.ID}
}

// abort fails or cancels a run from outside.
func (v *view) abort(a *AbortOp) Verdict {
	r := v.runByID(a.RunID)
	if r == nil {
		return Verdict{Code: Missing}
	}
	if r.Status.Stopped() {
		return Verdict{Code: Existed, Run: &r.Run}
	}
	kind := "fail"
	if a.Cancel {
		kind = "cancel"
	}
	v.fail(r, a.Reason, a.Cancel, 0)
	v.settle(r, &Entry{Kind: kind, Error: a.Reason})
	return Verdict{Code: Applied, Run: &r.Run}
}

// finish closes a run with a result. The first to end a run decides.
func (v *view) finish(r *runView, result []byte, own int) {
	if r.Status.Stopped() {
		return
	}
	r.Result = result
	v.close(r, store.Finished)
	v.stop(r, own)
}

// fail puts a run on its way to an end without result.
func (v *view) fail(r *runView, reason string, cancel bool, own int) {
	if r.Status.Stopped() {
		return
	}
	r.Status, r.Error, r.Cancel = store.Failing, reason, cancel
	v.stop(r, own)
}

func (v *view) close(r *runView, s store.Status) {
	r.Status, r.Ended = s, v.nowOf(r)
	v.res.Ended = append(v.res.Ended, &r.Run)
}

// stop drops what a run has open that was not begun; own of that is the very
// message that stops it. It does not wait for its dead letters any more, but
// for those of its undos that are to come.
func (v *view) stop(r *runView, own int) {
	r.Open, r.Dead = r.Open-r.Dead, 0
	if r.Open == own {
		return
	}
	v.res.Stopped = append(v.res.Stopped, r.Key)
	v.sweep(r)
}

func (v *view) sweep(r *runView) {
	names, moreJoins := v.list(store.Join, Owner(r.Key, ""), sweepPiece)
	for _, key := range names {
		v.dropJoin(r, key.Name, listed[JoinRow](v, key))
	}
	if moreFree := v.sweepFree(r); moreJoins || moreFree {
		id := join(prefix(r.Started), "sweep", r.ID, r.Entries)
		v.internalMessage(store.Message{Kind: store.Sweep, ID: id, Run: r.Key, RunID: r.ID})
	}
}

// sweepFree drops free messages, and reports whether there are more. It looks
// behind those that stay.
func (v *view) sweepFree(r *runView) (more bool) {
	for limit := sweepPiece; ; limit *= 8 {
		free, more := v.free(r.Key, limit)
		open := r.Open
		for _, m := range free {
			v.sweepMessage(r, m)
		}
		if r.Open < open || !more {
			return more
		}
	}
}

// sweepMessage drops a message that was not begun. What ends by itself stays:
// a Release hands out nothing more, a Tick goes with its join, an undo has its
// turn. What is with another store counts as in flight.
func (v *view) sweepMessage(r *runView, m *store.Message) {
	if m.Kind != store.Task || m.Undo > 0 || v.isLent(m) {
		return
	}
	v.withdraw(m)
	r.dropped = append(r.dropped, m.ID)
	r.Open--
}

// withdraw takes a free message away.
func (v *view) withdraw(m *store.Message) {
	v.cancel(m)
	v.unlock(m)
	v.forget(m)
}

// sweepOn goes on with what one commit was too small for.
func (v *view) sweepOn(m *store.Message) {
	v.end(m)
	r := v.run(m.Run)
	if r == nil {
		return
	}
	v.sweep(r)
	v.settle(r, &Entry{Kind: "swept"})
}

// dropJoin takes away an open join, or the stub of one in a wider scope.
func (v *view) dropJoin(r *runView, name string, row *JoinRow) {
	r.dropped = append(r.dropped, name)
	if row.Remote != "" {
		v.dropStub(r, name)
		v.internalMessage(store.Message{Kind: store.Delist, ID: ChildID(row.ID, 5), Scope: row.Remote, Join: "#" + row.ID})
		return
	}
	fired := r.fired
	v.closeJoin(r.Key, "", name, row)
	r.fired = fired
}

func (v *view) dropStub(r *runView, name string) {
	if get[JoinRow](v, store.Join, Owner(r.Key, ""), name) == nil {
		return
	}
	v.delete(store.Join, Owner(r.Key, ""), name)
	r.Open--
}

// settle sees what an outcome has made of its run, and writes the history.
func (v *view) settle(r *runView, e *Entry) {
	switch {
	case r.Status.Closed():
	case r.Status == store.Failing:
		if r.Open == 0 {
			v.unwind(r, e)
		}
	case r.Saga:
		r.Status = store.Running
	case r.Open == 0:
		v.close(r, store.Finished)
	case r.Open == r.Waiting:
		r.Status = store.Stalled
	default:
		r.Status = store.Running
	}
	v.record(r, e)
}

// unwind sends the newest undo, or closes the run when none is left.
func (v *view) unwind(r *runView, e *Entry) {
	if r.Undos == 0 {
		end := store.Failed
		if r.Cancel {
			end = store.Cancelled
		}
		v.close(r, end)
		return
	}
	row := get[UndoRow](v, store.Undo, Owner(r.Key, ""), store.Num(int64(r.Undos)))
	if row == nil {
		panic(errDamaged{fmt.Errorf("%w: undo %d of run %s is missing", store.ErrCorrupt, r.Undos, r.ID)})
	}
	m := v.sendLater(r, ChildID(row.ID, 0), &row.Send)
	m.Undo = r.Undos
	e.sent(m)
}

func (v *view) registerUndo(s *scopeOfStep, d Undo) {
	s.r.Undos++
	v.put(store.Undo, Owner(s.r.Key, ""), store.Num(int64(s.r.Undos)), &UndoRow{ID: s.childID(), Send: d.Send})
}

// cancelNamed takes back a timer or join, unless its time has come.
func (v *view) cancelNamed(s *scopeOfStep, d Cancel) {
	m := v.named(s.r.Key, d.Name)
	switch {
	case m != nil && !v.isBegun(m):
		v.withdraw(m)
		s.r.Open--
	case m == nil && v.cancelJoin(s, d.Name):
	default:
		v.tooLate(s, d.Name, d.Late)
		return
	}
	s.entry.Cancelled = append(s.entry.Cancelled, d.Name)
}

func (v *view) cancelJoin(s *scopeOfStep, name string) bool {
	row := get[JoinRow](v, store.Join, Owner(s.r.Key, ""), name)
	if row == nil {
		return false
	}
	v.dropJoin(s.r, name, row)
	return true
}

func (v *view) moveNamed(s *scopeOfStep, d Move) {
	m := v.named(s.r.Key, d.Name)
	if m == nil || v.isBegun(m) {
		v.tooLate(s, d.Name, d.Late)
		return
	}
	v.forget(m)
	v.unlock(m)
	moved := *m
	moved.Due = v.due(d.At, d.After.Microseconds())
	v.hand(&moved)
	s.entry.Moved = append(s.entry.Moved, d.Name)
}

func (v *view) tooLate(s *scopeOfStep, name string, alternative *Send) {
	s.entry.Missed = append(s.entry.Missed, name)
	if alternative != nil {
		s.entry.sent(v.send(s.target(), s.childID(), alternative))
	}
}
