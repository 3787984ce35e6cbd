package step

import (
	"time"

	"github.com/millrace-go/millrace/store"
)

// Wider scopes are aggregates of their own: what concerns one travels there
// as an internal message, so that a commit of a run locks no other run.

// emitWide is an event that has reached its scope.
func (v *view) emitWide(m *store.Message) {
	v.deleteMessage(m.Seq)
	v.counts.Done++
	v.touchFrom(m, 0)
	v.publish(0, m.Scope, m.Task, m.Payload)
}

// enlist is a join that has reached its scope.
func (v *view) enlist(m *store.Message) {
	v.deleteMessage(m.Seq)
	v.counts.Done++
	row := new(JoinRow)
	if err := store.Unmarshal(m.Payload, row); err != nil {
		panic(errDamaged{err})
	}
	v.touchFrom(m, 0)
	v.placeJoin(0, m.Scope, m.Join, row)
}

// delist takes a join out of a scope since its run ended; or, without a
// scope, a stub out of its run since the join ended without a message. A join
// that is still on its way is waited for.
func (v *view) delist(m *store.Message) {
	if m.Scope == "" {
		v.deleteMessage(m.Seq)
		v.counts.Done++
		if r := v.run(m.Run); r != nil {
			v.dropStub(r, m.Join)
			v.settle(r, &Entry{Kind: "deadline", Message: m.ID})
		}
		return
	}
	row := get[JoinRow](v, store.Join, Owner(0, m.Scope), m.Join)
	if row == nil && m.Attempt < 3 {
		m.Attempt++
		m.Due = v.now().Add(time.Minute)
		v.hand(m)
		return
	}
	v.deleteMessage(m.Seq)
	v.counts.Done++
	if row != nil {
		v.closeJoin(0, m.Scope, m.Join, row)
	}
}

// touch notes that a scope was used, and how many joins are open in it.
func (v *view) touch(scope string, open int) {
	var row ScopeRow
	if old := get[ScopeRow](v, store.Scope, Owner(0, scope), ""); old != nil {
		row = *old
	}
	row.Used = v.now()
	row.Open += open
	v.put(store.Scope, Owner(0, scope), "", &row)
}

// touchFrom is touch for a message that may be the first of its scope: that
// one also sends the message that will end it.
func (v *view) touchFrom(m *store.Message, open int) {
	if get[ScopeRow](v, store.Scope, Owner(0, m.Scope), "") == nil {
		v.internalMessage(store.Message{
			Kind: store.Expire, ID: ChildID(m.ID, 0), Scope: m.Scope, Due: v.now() + v.env.ScopeRetention,
		})
	}
	v.touch(m.Scope, open)
}

// expire ends a scope that has not been used for its retention and in which
// no join is open; otherwise it looks again later.
func (v *view) expire(m *store.Message) {
	row := get[ScopeRow](v, store.Scope, Owner(0, m.Scope), "")
	if row != nil && (row.Open > 0 || row.Used+v.env.ScopeRetention > v.now()) {
		m.Due = row.Used + v.env.ScopeRetention
		if row.Open > 0 {
			m.Due = v.now() + v.env.ScopeRetention
		}
		v.hand(m)
		return
	}
	events, more := v.list(store.Event, Owner(0, m.Scope), sweepPiece)
	for _, key := range events {
		v.delete(key.Kind, key.Owner, key.Name)
	}
	if more {
		v.hand(m)
		return
	}
	v.delete(store.Scope, Owner(0, m.Scope), "")
	v.deleteMessage(m.Seq)
	v.counts.Done++
}
