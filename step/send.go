package step

import (
	"fmt"

	"github.com/millrace-go/millrace/store"
)

// scopeOfStep is what the decisions of one step share.
type scopeOfStep struct {
	m     *store.Message
	r     *runView // nil outside any run
	entry Entry
	n     int // things brought forth so far; gives their ids
	forks map[*Fork]string
	ret   *Return
}

func (s *scopeOfStep) childID() string {
	s.n++
	return ChildID(s.m.ID, s.n)
}

// target is the run that the step's sends belong to. A failing run takes no
// new steps, so what an undo sends belongs to none.
func (s *scopeOfStep) target() *runView {
	if s.m.Undo > 0 {
		return nil
	}
	return s.r
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

// newMessage makes the message of a send, which belongs to no run yet, and is
// nowhere yet.
func (v *view) newMessage(id string, s *Send) *store.Message {
	m := &store.Message{
		Seq: v.seq(), ID: id, Kind: store.Task, Task: s.Task, Topic: s.Topic, Name: s.Name,
		Due: v.due(s.At, s.After.Microseconds()), Priority: s.Priority, Key: s.Key,
		Payload: s.Payload, Meta: s.Meta,
	}
	if m.Topic == "" {
		m.Topic = Service(s.Task)
	}
	return m
}

// send brings forth a message of a run (nil: of none).
func (v *view) send(r *runView, id string, s *Send) *store.Message {
	m := v.newMessage(id, s)
	if r == nil || s.Away { // names are those of a run
		m.Name = ""
		v.bear(m)
		return m
	}
	if v.taken(r, m.Name) {
		panic(errInvalid{fmt.Errorf("run %s: timer or join %q is open already", r.ID, m.Name)})
	}
	m.Run, m.RunID = r.Key, r.ID
	r.Open++
	v.bear(m)
	return m
}

// sendLater is send for what an earlier step has decided: should its name be
// taken by now, it goes without.
func (v *view) sendLater(r *runView, id string, s *Send) *store.Message {
	later := *s
	if r != nil && !s.Away && v.taken(r, s.Name) {
		later.Name = ""
	}
	return v.send(r, id, &later)
}

// taken reports whether a timer or join of that name is open.
func (v *view) taken(r *runView, name string) bool {
	return name != "" && (v.named(r.Key, name) != nil || get[JoinRow](v, store.Join, Owner(r.Key, ""), name) != nil)
}

// bear puts a new message: held by the worker if it can run it at once.
func (v *view) bear(m *store.Message) {
	v.counts.Accepted++
	v.hand(m)
}

// hand says where a message is to be: one that is due goes to the broker, or
// to the worker's own handlers, or waits for anyone.
func (v *view) hand(m *store.Message) {
	m.Worker, m.Published, m.Lent = 0, 0, false
	if m.Due != 0 && m.Due <= v.now() {
		m.Due = 0
	}
	switch {
	case m.Due == store.Never:
	case m.Due != 0:
		v.leaveFree(m)
	case v.isLocal() && v.holdHere(m), v.toBroker(m), v.holdHere(m):
	default:
		v.leaveFree(m)
	}
	v.putMessage(m)
}

// holdHere gives a message to the worker's own handlers, if there is room.
func (v *view) holdHere(m *store.Message) bool {
	if !v.snap.Alive || v.room[m.Topic] <= v.spare {
		return false
	}
	v.room[m.Topic]--
	m.Worker = v.env.Worker
	v.res.Held = append(v.res.Held, m)
	return true
}

// leaveFree leaves a message to anyone, from its due time on.
func (v *view) leaveFree(m *store.Message) {
	v.res.Free = append(v.res.Free, Wake{m.Topic, m.Due})
	v.noteTopic(m)
}

// internalMessage brings forth a message that the core carries out itself.
func (v *view) internalMessage(m store.Message) *store.Message {
	m.Seq = v.seq()
	m.Topic = store.Internal
	v.bear(&m)
	return &m
}

// cancel takes an open message away. Another store's is over there, too.
func (v *view) cancel(m *store.Message) {
	v.goHome(m, &Homeward{})
	v.deleteMessage(m.Seq)
	v.clear(m)
	v.counts.Cancelled++
}

// end takes away a message that was carried out.
func (v *view) end(m *store.Message) {
	v.deleteMessage(m.Seq)
	v.clearAttempts(m)
	v.counts.Done++
}

// clear deletes the rows of a message that has no effect any more.
func (v *view) clear(m *store.Message) {
	v.clearAttempts(m)
	v.dropChunks(m, nil)
}

// clearAttempts deletes what is kept of a message's attempts and edits.
func (v *view) clearAttempts(m *store.Message) {
	for n := 1; n <= m.Tries; n++ {
		v.delete(store.Attempt, m.ID, store.Num(int64(n)))
		v.delete(store.Edit, m.ID, store.Num(int64(n)))
	}
}

// done applies the decisions of a step that succeeded.
func (v *view) done(m *store.Message, o *Outcome) {
	if m.Home != "" && m.Run == 0 {
		v.away(m, o)
		return
	}
	v.goHome(m, &Homeward{})
	v.end(m)
	s := &scopeOfStep{
		m: m, r: v.runOf(m), entry: Entry{Kind: "step", Message: m.ID, Task: m.Task, Attempt: m.Attempt + 1},
	}
	used := o.Decisions
	switch {
	case s.r == nil && m.Run != 0: // purged
		used = nil
	case s.r == nil:
		v.decideAll(s, o.Decisions)
	case s.r.Status.Closed():
		s.entry.Kind = "late"
		used = nil
	case s.r.Status == store.Failing && m.Undo == 0:
		v.decideUndos(s, o.Decisions)
		used = nil
	default:
		v.decideAll(s, o.Decisions)
	}
	v.dropChunks(m, used)
	if s.r != nil {
		v.leave(s.r, m, ResultRow{Data: s.returned()})
		v.settle(s.r, &s.entry)
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
		s.entry.sent(v.send(s.target(), s.childID(), &d))
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
	if s.m.Undo > 0 {
		v.checkUndo(s, d)
	}
	v.decideInRun(s, d)
}

// checkUndo refuses what would keep a failing run from its end.
func (v *view) checkUndo(s *scopeOfStep, d Decision) {
	switch d.(type) {
	case Join, Undo:
		panic(errInvalid{fmt.Errorf("run %s is failing: undo %s can't decide a %T", s.r.ID, s.m.Task, d)})
	}
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
		s.entry.Records = append(s.entry.Records, Note(d))
	case Cancel:
		v.cancelNamed(s, d)
	case Move:
		v.moveNamed(s, d)
	case Return:
		s.ret = &d
	case Finish:
		v.finish(s.r, d.Result, 1)
	case Fail:
		v.fail(s.r, d.Reason, false, 1)
	default:
		panic(fmt.Sprintf("step: no rule for decision %T", d))
	}
}

// reply answers the sender of the step's message, on its topic.
func (v *view) reply(s *scopeOfStep, d Reply) {
	send := Send{Topic: d.Topic, Payload: d.Data, Away: true, Meta: map[string]string{"correlation_id": d.CorrelationID}}
	s.entry.sent(v.send(nil, s.childID(), &send))
}
