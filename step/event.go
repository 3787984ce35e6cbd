package step

import (
	"fmt"
	"slices"

	"github.com/millrace-go/millrace/joins"
	"github.com/millrace-go/millrace/store"
)

// emit makes an event known in the run, or sends it to a wider scope.
func (v *view) emit(s *scopeOfStep, d Emit) {
	s.entry.Emits = append(s.entry.Emits, d.Event)
	if d.Scope != "" {
		v.internalMessage(store.Message{Kind: store.Emit, ID: s.childID(), Scope: d.Scope, Task: d.Event, Payload: d.Data})
		return
	}
	if again := v.publish(s.r.Key, "", d.Event, d.Data); again {
		s.entry.Records = append(s.entry.Records, Note{"emitted again: " + d.Event, d.Data})
	}
}

// publish latches an event and hands it to the joins that wait for it. It
// reports whether the event had been emitted before.
func (v *view) publish(run int64, scope, event string, data []byte) (again bool) {
	owner := Owner(run, scope)
	var row EventRow
	if old := get[EventRow](v, store.Event, owner, event); old != nil {
		row = *old
	}
	again = row.Set
	waiters := row.Waiters
	if again && len(waiters) == 0 {
		return true
	}
	if !again {
		row.Set, row.At, row.Data = true, v.now(), data
	}
	row.Waiters = nil
	v.put(store.Event, owner, event, &row)
	for _, name := range waiters {
		v.deliver(run, scope, name, joins.Arrival{Event: event, Micros: int64(v.now()), Data: data})
	}
	return again
}

// deliver gives an event to a join, which may have ended in the meantime.
func (v *view) deliver(run int64, scope, name string, a joins.Arrival) {
	owner := Owner(run, scope)
	old := get[JoinRow](v, store.Join, owner, name)
	if old == nil {
		return
	}
	row := *old
	if !v.take(&row, a) {
		return
	}
	if row.Rule.Fulfilled(&row.Progress) {
		v.closeJoin(run, scope, name, &row)
		v.fire(scope, &row, row.Then, false)
		return
	}
	v.put(store.Join, owner, name, &row)
}

// take adds an event to what has arrived for a join, and reports whether the
// join wants it. A join's row holds no more data than its message may; the
// rest is in the events' own rows.
func (v *view) take(row *JoinRow, a joins.Arrival) bool {
	size := len(a.Data)
	for _, got := range row.Progress.Got {
		size += len(got.Data)
	}
	if size > v.env.Limits.Payload {
		a.Data, a.Elided = nil, true
	}
	return row.Rule.Take(&row.Progress, a)
}

// openJoin opens a join of the step's run, or sends it to a wider scope.
func (v *view) openJoin(s *scopeOfStep, d Join) {
	name := v.joinName(s, &d)
	row := JoinRow{
		ID: s.childID(), Run: s.r.Key, RunID: s.r.ID, Rule: d.Rule, Then: d.Then, Else: d.Else, Only: d.OnlyAfter,
	}
	if d.Fork != nil {
		row.Rule.Total, row.Fork = d.Fork.Total(), s.forks[d.Fork]
	}
	if d.Within > 0 {
		row.Due = v.now().Add(d.Within)
	}
	s.entry.Opened = append(s.entry.Opened, name)
	s.r.Open++
	if d.Scope != "" {
		v.sendJoin(s, name, d.Scope, row)
		return
	}
	if row.Due == 0 {
		s.r.Waiting++
	}
	v.placeJoin(s.r.Key, "", name, &row)
}

// sendJoin sends a join to its wider scope, and leaves a stub that the run
// waits for.
func (v *view) sendJoin(s *scopeOfStep, name, scope string, row JoinRow) {
	row.Stub = name
	v.put(store.Join, Owner(s.r.Key, ""), name, &JoinRow{ID: row.ID, Run: row.Run, RunID: row.RunID, Remote: scope})
	v.internalMessage(store.Message{Kind: store.Enlist, ID: ChildID(row.ID, 3), Scope: scope, Join: "#" + row.ID, Payload: v.encode(&row)})
}

func (v *view) joinName(s *scopeOfStep, d *Join) string {
	name := d.Name
	switch {
	case name != "":
	case d.Fork != nil:
		return joinOf(s.forks[d.Fork])
	default:
		return "#" + store.Num(v.seq())
	}
	if v.taken(s.r, name) {
		panic(errInvalid{fmt.Errorf("run %s: timer or join %q is open already", s.r.ID, name)})
	}
	return name
}

// placeJoin gives a new join what has arrived, and stores it, with its
// deadline, unless it is fulfilled at once.
func (v *view) placeJoin(run int64, scope, name string, row *JoinRow) {
	owner := Owner(run, scope)
	var missing []string
	for _, e := range row.Rule.Events {
		ev := get[EventRow](v, store.Event, owner, e)
		if ev == nil || !ev.Set || row.Only {
			missing = append(missing, e)
			continue
		}
		v.take(row, joins.Arrival{Event: e, Micros: int64(ev.At), Data: ev.Data})
	}
	if row.Rule.Fulfilled(&row.Progress) {
		v.ended(run, scope, name, row)
		v.fire(scope, row, row.Then, false)
		return
	}
	for _, e := range missing {
		ev := EventRow{}
		if old := get[EventRow](v, store.Event, owner, e); old != nil {
			ev = *old
		}
		ev.Waiters = append(ev.Waiters[:len(ev.Waiters):len(ev.Waiters)], name)
		v.put(store.Event, owner, e, &ev)
	}
	if row.Due != 0 {
		tick := store.Message{Kind: store.Tick, ID: ChildID(row.ID, 2), Due: row.Due, Scope: scope, Join: name}
		if scope == "" {
			tick.Run, tick.RunID = row.Run, row.RunID
		}
		row.Tick = v.internalMessage(tick).Seq
	}
	v.put(store.Join, owner, name, row)
	if scope != "" {
		v.touch(scope, 1)
	}
}

// closeJoin takes a stored join away, with its deadline.
func (v *view) closeJoin(run int64, scope, name string, row *JoinRow) {
	v.delete(store.Join, Owner(run, scope), name)
	if row.Tick != 0 {
		v.deleteMessage(row.Tick)
		v.counts.Cancelled++
	}
	if scope != "" {
		v.touch(scope, -1)
	}
	if scope != "" || !v.run(run).Status.Stopped() {
		v.unwait(Owner(run, scope), name, row)
	}
	v.ended(run, scope, name, row)
}

// unwait takes a join out of the events that it still waited for, so that
// their rows don't grow with joins that have ended.
func (v *view) unwait(owner, name string, row *JoinRow) {
	for _, e := range row.Rule.Events {
		if !row.Rule.Wants(&row.Progress, e) {
			continue
		}
		old := get[EventRow](v, store.Event, owner, e)
		if old == nil || !slices.Contains(old.Waiters, name) {
			continue
		}
		ev := *old
		ev.Waiters = slices.DeleteFunc(slices.Clone(old.Waiters), func(w string) bool { return w == name })
		if !ev.Set && len(ev.Waiters) == 0 {
			v.delete(store.Event, owner, e)
			continue
		}
		v.put(store.Event, owner, e, &ev)
	}
}

// ended takes a join out of what its run waits for. A wider scope's join is
// none of the run's rows: there the stub stands for it, until the run is told.
func (v *view) ended(run int64, scope, name string, row *JoinRow) {
	if scope != "" {
		return
	}
	r := v.run(run)
	r.Open--
	if row.Due == 0 {
		r.Waiting--
	}
	r.fired = append(r.fired, name)
}

// fire sends a join's message, or its alternative.
func (v *view) fire(scope string, row *JoinRow, send Send, late bool) {
	res := row.Rule.Conclude(&row.Progress, send.Payload, v.env.Limits.Payload)
	res.Owner, res.Late = Owner(row.Run, scope), late
	if row.Rule.Mode == joins.Fork {
		res.Owner = ResultOwner(row.Run, row.Fork)
	}
	send.Payload = v.encode(&res)
	id := ChildID(row.ID, 0)
	if late {
		id = ChildID(row.ID, 1)
	}
	if scope != "" {
		v.tellRun(row, &endedJoin{ID: row.ID, Message: id, Send: send})
		return
	}
	v.sendLater(v.run(row.Run), id, &send).Joined = true
}

// encode writes the payload of a message.
func (v *view) encode(val any) []byte {
	body, err := store.Marshal(val)
	if err != nil {
		panic(errInvalid{fmt.Errorf("payload: %w", err)})
	}
	return body
}

// tick is a deadline that has come: unless the join fired before, its
// alternative is sent, and the join can't fire any more.
func (v *view) tick(m *store.Message) {
	v.end(m)
	old := get[JoinRow](v, store.Join, Owner(m.Run, m.Scope), m.Join)
	if old == nil || old.Tick != m.Seq {
		return
	}
	row := *old
	row.Tick = 0 // it is this message
	v.closeJoin(m.Run, m.Scope, m.Join, &row)
	if m.Scope != "" {
		v.tickWide(m.Scope, &row)
		return
	}
	r := v.run(m.Run)
	if row.Else != nil && !r.Status.Stopped() {
		v.fire("", &row, *row.Else, true)
	}
	v.settle(r, &Entry{Kind: "deadline", Message: m.ID})
}

func (v *view) tickWide(scope string, row *JoinRow) {
	if row.Else == nil {
		v.tellRun(row, &endedJoin{ID: row.ID})
		return
	}
	v.fire(scope, row, *row.Else, true)
}
