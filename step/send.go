package step

import (
	"fmt"

	"github.com/millrace-go/millrace/store"
)

// scopeOfStep is what the decisions of one step share.
type scopeOfStep struct {
	m     *store.Message
	r     *runView // nil outside any run
	entry *Entry
	n     int // things brought forth so far; gives their ids
	forks map[*Fork]string
	ret   *Return
}

func (s *scopeOfStep) childID() string {
	s.n++
	return ChildID(s.m.ID, s.n)
}

// due turns a send's times into a due time: 0 when it is due already.
func (v *view) due(at store.Instant, after int64) store.Instant {
	if after > 0 {
		at = max(at, v.now()+store.Instant(after))
	}
	if at <= v.now() {
		return 0
	}
	return at
}

// send brings forth a message of a run (nil: of none).
func (v *view) send(r *runView, id string, s *Send) *store.Message {
	m := &store.Message{
		Seq: v.seq(), ID: id, Kind: store.Task, Task: s.Task, Topic: s.Topic, Name: s.Name,
		Due: v.due(s.At, s.After.Microseconds()), Priority: s.Priority, Key: s.Key,
		Payload: s.Payload, Meta: s.Meta,
	}
	if m.Topic == "" {
		m.Topic = Service(s.Task)
	}
	if r != nil && !s.Away {
		m.Run, m.RunID = r.Key, r.ID
		r.Open++
		v.uniqueName(r, m)
	}
	v.bear(m)
	return m
}

func (v *view) uniqueName(r *runView, m *store.Message) {
	if m.Name == "" {
		return
	}
	if v.named(r.Key, m.Name) != nil || get[JoinRow](v, store.Join, Owner(r.Key, ""), m.Name) != nil {
		panic(errInvalid{fmt.Errorf("run %s: timer or join %q is open already", r.ID, m.Name)})
	}
}

// bear puts a new message: held by the worker if it can run it at once.
func (v *view) bear(m *store.Message) {
	v.counts.Accepted++
	v.hand(m)
}

// hand gives a message that is due to the worker's own handlers if there is
// room, and else to anyone.
func (v *view) hand(m *store.Message) {
	m.Worker = 0
	if m.Due != 0 && m.Due <= v.now() {
		m.Due = 0
	}
	if m.Due == 0 && v.snap.Alive && v.room[m.Topic] > 0 {
		v.room[m.Topic]--
		m.Worker = v.env.Worker
		v.res.Held = append(v.res.Held, m)
	} else if m.Due != store.Never {
		v.res.Free = append(v.res.Free, Wake{m.Topic, m.Due})
	}
	v.putMessage(m)
}

// internalMessage brings forth a message that the core carries out itself.
func (v *view) internalMessage(m store.Message) *store.Message {
	m.Seq = v.seq()
	m.Topic = store.Internal
	v.bear(&m)
	return &m
}

// cancel takes an open message away.
func (v *view) cancel(m *store.Message) {
	v.deleteMessage(m.Seq)
	v.dropChunks(m, 0)
	v.counts.Cancelled++
}

// done applies the decisions of a step that succeeded.
func (v *view) done(m *store.Message, o *Outcome) {
	v.deleteMessage(m.Seq)
	v.counts.Done++
	for n := 1; n <= m.Tries; n++ {
		v.delete(store.Attempt, m.ID, store.Num(int64(n)))
	}
	s := &scopeOfStep{m: m, entry: &Entry{Kind: "step", Message: m.ID, Task: m.Task, Attempt: m.Attempt + 1}}
	used := stagedChunks(o.Decisions)
	if m.Run != 0 {
		s.r = v.run(m.Run)
	}
	switch {
	case s.r == nil && m.Run != 0: // purged
		used = 0
	case s.r == nil:
		v.decideAll(s, o.Decisions)
	case s.r.Status.Closed():
		s.entry.Kind = "late"
		used = 0
	case s.r.Status == store.Failing && m.Undo == 0:
		v.decideUndos(s, o.Decisions)
		used = 0
	default:
		v.decideAll(s, o.Decisions)
	}
	v.dropChunks(m, used)
	if s.r != nil {
		v.leave(s.r, m, ResultRow{Data: s.returned()})
		v.settle(s.r, s.entry)
	}
	v.unlock(m)
}

func (s *scopeOfStep) returned() []byte {
	if s.ret == nil {
		return nil
	}
	return s.ret.Data
}

// leave takes an ended message out of what its run waits for, and tells the
// join over the fork that it is a child of.
func (v *view) leave(r *runView, m *store.Message, result ResultRow) {
	if m.Scope != "" { // of a wider scope's join: its stub is what the run waits for
		v.dropStub(r, m.Join)
		return
	}
	r.Open--
	if m.Undo > 0 && !result.Failed {
		v.delete(store.Undo, Owner(r.Key, ""), store.Num(int64(m.Undo)))
		r.Undos = m.Undo - 1
	}
	if m.Join != "" {
		v.arrive(r, m, result)
	}
}

// decideAll applies a step's decisions in their order, but what ends the run
// last, so that the order in which an author names them does not matter.
func (v *view) decideAll(s *scopeOfStep, ds []Decision) {
	v.nameForks(s, ds)
	for _, d := range ds {
		if !ends(d) {
			v.decide(s, d)
		}
	}
	for _, d := range ds {
		if ends(d) {
			v.decide(s, d)
		}
	}
}

func ends(d Decision) bool {
	switch d.(type) {
	case Finish, Fail:
		return true
	}
	return false
}

// decideUndos keeps of a step that ends while its run fails only the undos.
func (v *view) decideUndos(s *scopeOfStep, ds []Decision) {
	for _, d := range ds {
		if u, ok := d.(Undo); ok {
			v.registerUndo(s, u)
		}
	}
}

func (v *view) decide(s *scopeOfStep, d Decision) {
	switch d := d.(type) {
	case Send:
		d.Away = d.Away || s.m.Undo > 0 // a failing run takes no new steps
		s.entry.sent(v.send(s.r, s.childID(), &d))
		return
	case *Fork:
		v.fork(s, d)
		return
	case Reply:
		v.reply(s, d)
		return
	}
	if s.r == nil {
		panic(errInvalid{fmt.Errorf("task %s: %T needs a run, and message %s is a job outside any", s.m.Task, d, s.m.ID)})
	}
	v.decideInRun(s, d)
}

func (v *view) decideInRun(s *scopeOfStep, d Decision) {
	switch d := d.(type) {
	case Emit:
		v.emit(s, d)
	case Join:
		v.openJoin(s, d)
	case Undo:
		v.registerUndo(s, d)
	case SetState:
		s.r.State, s.r.Revision = d.Data, s.r.Revision+1
		s.entry.State, s.entry.Revision = d.Data, s.r.Revision
	case Record:
		s.entry.Records = append(s.entry.Records, Note{d.Kind, d.Data})
	case Cancel:
		v.cancelNamed(s, d)
	case Move:
		v.moveNamed(s, d)
	case Return:
		s.ret = &d
	case Finish:
		v.finish(s.r, d.Result)
	case Fail:
		v.fail(s.r, d.Reason, false)
	default:
		panic(fmt.Sprintf("step: no rule for decision %T", d))
	}
}

// reply answers the sender of the step's message, on its topic.
func (v *view) reply(s *scopeOfStep, d Reply) {
	send := Send{Topic: d.Topic, Payload: d.Data, Away: true, Meta: map[string]string{"correlation_id": d.CorrelationID}}
	s.entry.sent(v.send(nil, s.childID(), &send))
}
