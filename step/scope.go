package step

import (
	"time"

	"github.com/millrace-go/millrace/store"
)

// delistTries is how often, a minute apart, a join that is to be taken out of
// a wider scope is looked for.
const delistTries = 3

// Wider scopes are aggregates of their own: what concerns one travels there
// as an internal message, so that a commit of a run locks no other run.

// emitWide is an event that has reached its scope.
func (v *view) emitWide(m *store.Message) {
	v.end(m)
	v.touchFrom(m, 0)
	v.publish(0, m.Scope, m.Task, m.Payload)
}

// enlist is a join that has reached its scope.
func (v *view) enlist(m *store.Message) {
	v.end(m)
	row := new(JoinRow)
	if err := store.Unmarshal(m.Payload, row); err != nil {
		panic(errDamaged{err})
	}
	v.touchFrom(m, 0)
	v.placeJoin(0, m.Scope, m.Join, row)
}

// endedJoin is what a run is told of its join that has ended in a wider scope.
type endedJoin struct {
	ID      string `cbor:"1,keyasint,omitempty"` // of the join
	Message string `cbor:"2,keyasint,omitempty"` // id of what it sends; empty: nothing
	Send    Send   `cbor:"3,keyasint,omitempty"`
}

// tellRun tells a run that its join has ended in a wider scope. The run itself
// sends the join's message: until then it can still cancel the join.
func (v *view) tellRun(row *JoinRow, e *endedJoin) {
	v.internalMessage(store.Message{
		Kind: store.Delist, ID: ChildID(row.ID, 4), Run: row.Run, RunID: row.RunID, Join: row.Stub, Payload: v.encode(e),
	})
}

// delist takes a join out of a scope since its run has cancelled it, or was
// closed; or, without a scope, a stub out of its run, since the join ended.
func (v *view) delist(m *store.Message) {
	if m.Scope == "" {
		v.delistStub(m)
		return
	}
	row := get[JoinRow](v, store.Join, Owner(0, m.Scope), m.Join)
	if row == nil && m.Number < delistTries { // it may be on its way still
		m.Number++
		m.Due = v.now().Add(time.Minute)
		v.hand(m)
		return
	}
	v.end(m)
	if row != nil {
		v.closeJoin(0, m.Scope, m.Join, row)
	}
}

func (v *view) delistStub(m *store.Message) {
	v.end(m)
	e := new(endedJoin)
	if err := store.Unmarshal(m.Payload, e); err != nil {
		panic(errDamaged{err})
	}
	r := v.run(m.Run)
	if r == nil || r.Status.Stopped() {
		return
	}
	stub := get[JoinRow](v, store.Join, Owner(r.Key, ""), m.Join)
	if stub == nil || stub.ID != e.ID {
		return
	}
	v.dropStub(r, m.Join)
	r.fired = append(r.fired, m.Join)
	entry := &Entry{Kind: "joined", Message: m.ID}
	if e.Message != "" {
		joined := v.sendLater(r, e.Message, &e.Send)
		joined.Joined = true
		entry.sent(joined)
	}
	v.settle(r, entry)
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
	v.end(m)
}
