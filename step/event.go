package step

import (
	"fmt"

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
	if !row.Rule.Take(&row.Progress, a) {
		return
	}
	if row.Rule.Fulfilled(&row.Progress) {
		v.closeJoin(run, scope, name, &row)
		v.fire(scope, &row, name, row.Then, false)
		return
	}
	v.put(store.Join, owner, name, &row)
}

// openJoin opens a join of the step's run, or sends it to a wider scope.
func (v *view) openJoin(s *scopeOfStep, d Join) {
	name := v.joinName(s, &d)
	row := JoinRow{
		ID: s.childID(), Run: s.r.Key, RunID: s.r.ID, Rule: d.Rule, Then: d.Then, Else: d.Else, Only: d.OnlyAfter,
	}
	if d.Fork != nil {
		row.Rule.Total = d.Fork.Total()
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
	body, err := store.Marshal(&row)
	if err != nil {
		panic(errInvalid{fmt.Errorf("join %s: %w", name, err)})
	}
	v.put(store.Join, Owner(s.r.Key, ""), name, &JoinRow{ID: row.ID, Run: row.Run, RunID: row.RunID, Remote: scope})
	v.internalMessage(store.Message{Kind: store.Enlist, ID: ChildID(row.ID, 3), Scope: scope, Join: "#" + row.ID, Payload: body})
}

func (v *view) joinName(s *scopeOfStep, d *Join) string {
	name := d.Name
	switch {
	case d.Fork != nil:
		name = s.forks[d.Fork]
		if name == "" {
			panic(errInvalid{fmt.Errorf("run %s: join over a fork that is not of the same step", s.r.ID)})
		}
	case name == "":
		return "#" + store.Num(v.seq())
	}
	if get[JoinRow](v, store.Join, Owner(s.r.Key, ""), name) != nil || (d.Name != "" && v.named(s.r.Key, d.Name) != nil) {
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
		row.Rule.Take(&row.Progress, joins.Arrival{Event: e, Micros: int64(ev.At), Data: ev.Data})
	}
	if row.Rule.Fulfilled(&row.Progress) {
		v.ended(run, scope, name, row)
		v.fire(scope, row, name, row.Then, false)
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
	v.ended(run, scope, name, row)
}

// ended takes a join out of what its run waits for. A wider scope's join is
// none of the run's rows: there the stub stands for it, until its message has
// ended.
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
func (v *view) fire(scope string, row *JoinRow, name string, send Send, late bool) {
	res := row.Rule.Conclude(&row.Progress, send.Payload, v.env.Limits.Payload)
	res.Owner, res.Late = Owner(row.Run, scope), late
	if row.Rule.Mode == joins.Fork {
		res.Owner = ResultOwner(row.Run, name)
	}
	body, err := store.Marshal(&res)
	if err != nil {
		panic(errInvalid{fmt.Errorf("join %s: %w", name, err)})
	}
	send.Payload = body
	n := 0
	if late {
		n = 1
	}
	var r *runView
	if scope == "" {
		r = v.run(row.Run)
	}
	m := v.send(r, ChildID(row.ID, n), &send)
	m.Joined = true
	if scope != "" {
		m.Run, m.RunID, m.Scope, m.Join = row.Run, row.RunID, scope, row.Stub
	}
}

// tick is a deadline that has come: unless the join fired before, its
// alternative is sent, and the join can't fire any more.
func (v *view) tick(m *store.Message) {
	v.deleteMessage(m.Seq)
	v.counts.Done++
	row := get[JoinRow](v, store.Join, Owner(m.Run, m.Scope), m.Join)
	if row == nil || row.Tick != m.Seq {
		return
	}
	row = &JoinRow{
		ID: row.ID, Run: row.Run, RunID: row.RunID, Rule: row.Rule, Progress: row.Progress,
		Else: row.Else, Due: row.Due, Stub: row.Stub,
	} // without Tick: it is this message
	v.closeJoin(m.Run, m.Scope, m.Join, row)
	switch {
	case row.Else != nil:
		v.fire(m.Scope, row, m.Join, *row.Else, true)
	case m.Scope != "": // tell the run that its join has ended
		v.internalMessage(store.Message{
			Kind: store.Delist, ID: ChildID(row.ID, 4), Run: row.Run, RunID: row.RunID, Join: row.Stub,
		})
	}
	if m.Scope == "" {
		v.settle(v.run(m.Run), &Entry{Kind: "deadline", Message: m.ID})
	}
}
