package step

import (
	"fmt"

	"github.com/millrace-go/millrace/store"
)

// lockPiece is how many waiters of a key are looked at first.
const lockPiece = 64

// admit gives a message its exclusive key, and finds, or creates, the
// instance of the stateful saga that it is for. A message that must wait is
// parked, visibly, until the key is free or the saga exists.
func (v *view) admit(o *Outcome) Verdict {
	lock := get[LockRow](v, store.Lock, lockOwner(o.Key), "")
	has := lock != nil && lock.Running == o.Message.Seq
	m := *o.Message
	if has && o.Saga != "" { // it may be in its saga already, and the answer was lost
		m = *v.message(m.Seq)
	}
	if m.Key != o.Key {
		v.unlock(&m) // a crash left it with a key, and a newer program has found another
	}
	m.Key, m.Saga = o.Key, o.Saga
	v.checkSaga(o)
	if lock != nil && !has || !v.admissible(o.Key, o.Saga, o.Starts) {
		v.unlock(&m) // if it had the key, it is not to have it after all
		v.park(&m, o)
		return Verdict{Code: Blocked}
	}
	v.put(store.Lock, lockOwner(o.Key), "", &LockRow{Running: m.Seq})
	verdict := Verdict{Code: Applied, Message: &m}
	if o.Saga != "" {
		verdict.Run = v.enter(&m, o)
	}
	v.putMessage(&m)
	return verdict
}

// lockOwner returns the owner of the rows of an exclusive key. No other owner
// begins so: a key may read like the number of a run.
func lockOwner(key string) string { return "=" + key }

func (v *view) checkSaga(o *Outcome) {
	if o.Saga == "" {
		return
	}
	if r := v.runByID(o.Key); r != nil && (!r.Saga || r.Name != o.Saga) {
		panic(errInvalid{fmt.Errorf("run %s is not an instance of saga %s", o.Key, o.Saga)})
	}
}

// admissible reports whether a message can have its key: outside any saga, or
// if the saga takes it, since it exists or the message may create it. A saga
// exists from its first step's commit on.
func (v *view) admissible(key, saga string, starts bool) bool {
	if saga == "" {
		return true
	}
	r := v.runByID(key)
	if r == nil {
		return starts
	}
	return r.Name == saga && !r.Status.Stopped() && (starts || r.Revision > 0)
}

func (v *view) enter(m *store.Message, o *Outcome) *store.Run {
	r := v.runByID(o.Key)
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
	m.Worker, m.Due, m.Lent = 0, store.Never, false // it is this store's worker that has come for it
	v.putMessage(m)
	key := WaiterKey(m)
	v.put(key.Kind, key.Owner, key.Name, &WaiterRow{Starts: o.Starts, Saga: o.Saga})
}

// forget takes a message that is gone out of the queue for its key.
func (v *view) forget(m *store.Message) {
	if m.Key == "" || m.Due != store.Never {
		return
	}
	key := WaiterKey(m)
	v.delete(key.Kind, key.Owner, key.Name)
}

// WaiterKey names the row of a message that is parked for its exclusive key.
func WaiterKey(m *store.Message) store.RowKey {
	return store.RowKey{Kind: store.Waiter, Owner: lockOwner(m.Key), Name: store.Num(m.Seq)}
}

// unlock gives the exclusive key of a message that has ended, or that waits
// to be tried again, to the first who waits for it.
func (v *view) unlock(m *store.Message) {
	if m.Key == "" {
		return
	}
	owner := lockOwner(m.Key)
	lock := get[LockRow](v, store.Lock, owner, "")
	if lock == nil || lock.Running != m.Seq {
		return
	}
	next := v.nextWaiter(m.Key)
	if next == nil {
		v.delete(store.Lock, owner, "")
		return
	}
	v.delete(store.Waiter, owner, store.Num(next.Seq))
	v.put(store.Lock, owner, "", &LockRow{Running: next.Seq})
	woken := *next
	woken.Due = 0
	v.hand(&woken)
}

// nextWaiter returns who has waited longest for a key and can be admitted.
func (v *view) nextWaiter(key string) *store.Message {
	for limit := lockPiece; ; limit *= 8 {
		waiters, more := v.list(store.Waiter, lockOwner(key), limit)
		for _, row := range waiters {
			w := listed[WaiterRow](v, row)
			if !v.admissible(key, w.Saga, w.Starts) {
				continue
			}
			seq, _ := store.ParseNum(row.Name)
			if m := v.message(seq); m != nil {
				return m
			}
			v.delete(row.Kind, row.Owner, row.Name) // nobody waits there any more
		}
		if !more {
			return nil
		}
	}
}

// readdress ends a message of a run that turns out to be for a stateful saga,
// and sends what it carries to that saga, which is a run of its own.
func (v *view) readdress(m *store.Message, o *Outcome) {
	v.goHome(m, &Homeward{})
	v.end(m)
	v.dropChunks(m, nil)
	v.unlock(m) // a crash may have left it with a key
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
