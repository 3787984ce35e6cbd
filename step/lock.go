package step

import (
	"slices"

	"github.com/millrace-go/millrace/store"
)

// lockPiece is how many waiters of a key are looked at in one commit.
const lockPiece = 64

// admit gives a message its exclusive key, and finds, or creates, the
// instance of the stateful saga that it is for. A message that must wait is
// parked, visibly, until the key is free or the saga exists.
func (v *view) admit(m *store.Message, o *Outcome) Verdict {
	m.Key, m.Saga = o.Key, o.Saga
	var lock LockRow
	if row := get[LockRow](v, store.Lock, o.Key, ""); row != nil {
		lock = *row
	}
	var r *runView
	if o.Saga != "" {
		r = v.runByID(o.Key)
	}
	free := lock.Running == 0 || lock.Running == m.Seq
	if !free || !v.admissible(m, o, r) {
		if lock.Running == m.Seq { // it is not to have it after all
			lock.Running = 0
			v.put(store.Lock, o.Key, "", &lock)
		}
		v.park(m, o)
		return Verdict{Code: Blocked}
	}
	lock.Running = m.Seq
	v.put(store.Lock, o.Key, "", &lock)
	verdict := Verdict{Code: Applied, Message: m}
	if o.Saga != "" {
		verdict.Run = v.enter(m, o, r)
	}
	v.putMessage(m)
	return verdict
}

// admissible reports whether the saga takes the message: it exists, or the
// message may create it. A saga exists from its first step's commit on.
func (v *view) admissible(m *store.Message, o *Outcome, r *runView) bool {
	switch {
	case o.Saga == "":
		return true
	case r == nil || r.Revision == 0:
		return o.Starts
	}
	return !r.Status.Stopped()
}

func (v *view) enter(m *store.Message, o *Outcome, r *runView) *store.Run {
	if r == nil {
		r = v.newRun(o.Key, o.Saga)
		r.Saga = true
		v.record(r, &Entry{Kind: "started", Task: o.Saga})
	}
	if m.Run != r.Key {
		m.Run, m.RunID = r.Key, r.ID
		r.Open++
		v.record(r, &Entry{Kind: "received", Message: m.ID, Task: m.Task})
	}
	return &r.Run
}

func (v *view) park(m *store.Message, o *Outcome) {
	m.Worker, m.Due = 0, store.Never
	v.putMessage(m)
	v.put(store.Waiter, o.Key, store.Num(m.Seq), &WaiterRow{Starts: o.Starts})
}

// forget takes a message that is gone out of the queue for its key.
func (v *view) forget(m *store.Message) {
	if m.Key != "" && m.Due == store.Never {
		v.delete(store.Waiter, m.Key, store.Num(m.Seq))
	}
}

// unlock gives the exclusive key of a message that has ended, or that waits
// to be tried again, to the first who waits for it.
func (v *view) unlock(m *store.Message) {
	if m.Key == "" {
		return
	}
	lock := get[LockRow](v, store.Lock, m.Key, "")
	if lock == nil || lock.Running != m.Seq {
		return
	}
	next := v.nextWaiter(m)
	if next == nil {
		v.delete(store.Lock, m.Key, "")
		return
	}
	v.delete(store.Waiter, m.Key, store.Num(next.Seq))
	v.put(store.Lock, m.Key, "", &LockRow{Running: next.Seq})
	woken := *next
	woken.Due = 0
	v.hand(&woken)
}

// nextWaiter returns who has waited longest for m's key and can be admitted.
func (v *view) nextWaiter(m *store.Message) *store.Message {
	keys, _ := v.list(store.Waiter, m.Key, lockPiece)
	if m.Saga != "" {
		r := v.runByID(m.Key)
		if r == nil || r.Status.Stopped() {
			return nil
		}
		if r.Revision == 0 {
			keys = slices.DeleteFunc(keys, func(k store.RowKey) bool { return !listed[WaiterRow](v, k).Starts })
		}
	}
	for _, key := range keys {
		seq, _ := store.ParseNum(key.Name)
		if w := v.message(seq); w != nil && seq != m.Seq {
			return w
		}
	}
	return nil
}

// readdress ends a message of a run that turns out to be for a stateful saga,
// and sends what it carries to that saga, which is a run of its own.
func (v *view) readdress(m *store.Message, o *Outcome) {
	v.deleteMessage(m.Seq)
	v.counts.Done++
	send := Send{Task: m.Task, Topic: m.Topic, Payload: m.Payload, Meta: m.Meta, Priority: m.Priority, Key: o.Key, Away: true}
	child := v.send(nil, ChildID(m.ID, 0), &send)
	child.Saga, child.Joined = o.Saga, m.Joined
	r := v.runOf(m)
	if r == nil {
		return
	}
	entry := &Entry{Kind: "readdressed", Message: m.ID, Task: m.Task}
	entry.sent(child)
	v.leave(r, m, ResultRow{})
	v.settle(r, entry)
}
