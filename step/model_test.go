package step_test

import (
	"maps"
	"slices"

	"github.com/millrace-go/millrace/joins"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// model is what the semantics say is open after some outcomes, one after the
// other: sets of labels and no rows. Each message that can ever be sent has a
// label of its own, its payload, or its join's own data.
type model struct {
	runs     map[string]mRun
	tasks    map[string]mTask // open, by label
	joins    map[string]mJoin // open, by the label of what they send; those in wider scopes too
	wide     map[string]mJoin // those that have reached their wider scope
	home     map[string]string
	events   map[string]bool // scope (or run) and event
	forks    map[string]mFork
	dead     map[string]mTask
	releases map[string]mRelease // by the seq of who staged, as written in rows
	invalid  bool                // the decisions contradict the run
	look     oracle
}

// oracle knows what the model leaves to chance.
type oracle struct {
	held   func(label string) bool // by some worker, before the batch
	exists func(label string) bool // after the batch
	loose  map[string]bool         // given back in this batch: free, or held again
}

type mRun struct {
	status  store.Status
	onDead  step.OnDead
	cancel  bool
	undos   []string // labels, oldest first
	undoing string
}

type mTask struct {
	run, name string
	fork      string
	undo      bool
}

type mJoin struct {
	run, name, scope string
	els              string // label of the alternative
	mode             joins.Mode
	need             int
	events, got      []string
	timed, only      bool
	fork             string
}

type mFork struct{ total, max, done, failed int }

type mRelease struct {
	run, fork string
	chunks    [][]string
}

func newModel() *model {
	return &model{
		runs: map[string]mRun{}, tasks: map[string]mTask{}, joins: map[string]mJoin{}, wide: map[string]mJoin{}, home: map[string]string{},
		events: map[string]bool{}, forks: map[string]mFork{}, dead: map[string]mTask{}, releases: map[string]mRelease{},
	}
}

func (m *model) clone() *model {
	c := *m
	c.runs, c.tasks, c.joins, c.wide = maps.Clone(m.runs), maps.Clone(m.tasks), maps.Clone(m.joins), maps.Clone(m.wide)
	c.home, c.events, c.forks = maps.Clone(m.home), maps.Clone(m.events), maps.Clone(m.forks)
	c.dead, c.releases = maps.Clone(m.dead), maps.Clone(m.releases)
	return &c
}

func label(b []byte) string { return string(b) }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// done ends a step with its decisions.
func (m *model) done(at, seq string, ds []step.Decision) {
	t := m.tasks[at]
	t.name = "" // it is free again
	m.tasks[at] = t
	r, ok := m.runs[t.run]
	switch {
	case ok && r.status.Closed():
	case ok && r.status == store.Failing && !t.undo:
		for _, d := range ds {
			if u, ok := d.(step.Undo); ok {
				m.push(t.run, u)
			}
		}
	default:
		m.decideAll(at, t, seq, ds)
	}
	delete(m.tasks, at)
	m.left(t, false)
	m.settle(t.run)
}

func (m *model) push(run string, u step.Undo) {
	r := m.runs[run]
	r.undos = append(slices.Clip(r.undos), label(u.Send.Payload))
	m.runs[run] = r
}

// left is for a message that has ended.
func (m *model) left(t mTask, failed bool) {
	r, ok := m.runs[t.run]
	if !ok {
		return
	}
	if t.undo && !failed {
		r.undos, r.undoing = r.undos[:len(r.undos)-1], ""
		m.runs[t.run] = r
	}
	f, ok := m.forks[t.fork]
	if !ok || r.status.Stopped() {
		return
	}
	if failed {
		f.failed++
	} else {
		f.done++
	}
	m.forks[t.fork] = f
	m.fireFork(t.fork)
}

func (m *model) fireFork(fork string) {
	f := m.forks[fork]
	for _, then := range sorted(m.joins) {
		if m.joins[then].fork == fork && (f.done+f.failed >= f.total || f.max > 0 && f.failed >= f.max) {
			m.fire(m.joins, then)
		}
	}
}

func (m *model) decideAll(at string, t mTask, seq string, ds []step.Decision) {
	for _, d := range ds {
		m.decide(at, t, seq, d, ds)
	}
	for _, d := range ds {
		switch d := d.(type) {
		case step.Finish:
			m.end(t.run, store.Finished)
		case step.Fail:
			m.end(t.run, store.Failing)
		default:
			_ = d
		}
	}
}

func (m *model) decide(at string, t mTask, seq string, d step.Decision, ds []step.Decision) {
	switch d := d.(type) {
	case step.Send:
		m.send(t, d, "")
		return
	case *step.Fork:
		m.fork(t, seq, d, ds)
		return
	case step.Reply:
		return
	}
	if t.run == "" {
		m.invalid = true
		return
	}
	switch d := d.(type) {
	case step.Emit:
		if d.Scope == "" {
			m.emit(t.run, m.joins, d.Event)
		}
	case step.Join:
		m.invalid = m.invalid || t.undo
		m.open(t.run, d)
	case step.Undo:
		m.invalid = m.invalid || t.undo
		m.push(t.run, d)
	case step.Cancel:
		m.cancel(t, d)
	case step.Move:
		timer, ok := m.named(t.run, d.Name)
		switch {
		case ok && m.look.loose[timer]:
			if m.look.exists(label(d.Late.Payload)) {
				m.late(t, d.Late)
			}
		case !ok || m.claimed(timer):
			m.late(t, d.Late)
		}
	}
}

// send opens a message. What an undo sends leaves the run.
func (m *model) send(t mTask, s step.Send, fork string) {
	run := t.run
	if t.undo || s.Away {
		run = ""
	}
	name := ""
	if run != "" {
		name = s.Name
		m.invalid = m.invalid || m.taken(run, name)
	}
	m.tasks[label(s.Payload)] = mTask{run: run, name: name, fork: fork}
}

func (m *model) taken(run, name string) bool {
	if name == "" {
		return false
	}
	if _, ok := m.named(run, name); ok {
		return true
	}
	_, ok := m.joinNamed(run, name)
	return ok
}

func (m *model) named(run, name string) (string, bool) {
	for l, t := range m.tasks {
		if t.run == run && t.name == name {
			return l, true
		}
	}
	return "", false
}

func (m *model) joinNamed(run, name string) (string, bool) {
	for l, j := range m.joins {
		if j.run == run && j.name == name {
			return l, true
		}
	}
	return "", false
}

func (m *model) fork(t mTask, seq string, f *step.Fork, ds []step.Decision) {
	name := ""
	for _, d := range ds {
		if j, ok := d.(step.Join); ok && j.Fork == f {
			name = "fork of " + label(j.Then.Payload)
			m.forks[name] = mFork{total: f.Total(), max: j.Rule.MaxFailed}
		}
	}
	for _, s := range f.Sends {
		m.send(t, s, name)
	}
	if f.Chunks == 0 {
		return
	}
	run := t.run
	if t.undo {
		run = ""
	}
	rel := m.releases["staged by "+seq]
	rel.run, rel.fork = run, name
	m.releases[seq] = rel
	delete(m.releases, "staged by "+seq)
}

// stage notes a chunk that an execution has put aside.
func (m *model) stage(seq string, sends []step.Send) {
	rel := m.releases["staged by "+seq]
	var chunk []string
	for _, s := range sends {
		chunk = append(chunk, label(s.Payload))
	}
	rel.chunks = append(slices.Clip(rel.chunks), chunk)
	m.releases["staged by "+seq] = rel
}

func (m *model) unstage(seq string) { delete(m.releases, "staged by "+seq) }

// release hands out a chunk.
func (m *model) release(seq string) {
	rel := m.releases[seq]
	if r, ok := m.runs[rel.run]; !ok || !r.status.Stopped() {
		for _, l := range rel.chunks[0] {
			m.tasks[l] = mTask{run: rel.run, fork: rel.fork}
		}
	}
	rel.chunks = rel.chunks[1:]
	m.releases[seq] = rel
	if len(rel.chunks) == 0 {
		delete(m.releases, seq)
	}
	m.settle(rel.run)
}

func (m *model) open(run string, d step.Join) {
	then := label(d.Then.Payload)
	m.invalid = m.invalid || m.taken(run, d.Name)
	j := mJoin{
		run: run, name: d.Name, scope: d.Scope, mode: d.Rule.Mode, need: d.Rule.Need, events: d.Rule.Events, timed: d.Within > 0, only: d.OnlyAfter,
	}
	if d.Else != nil {
		j.els = label(d.Else.Payload)
	}
	if d.Fork != nil {
		j.fork = "fork of " + then
		m.forks[j.fork] = mFork{total: d.Fork.Total(), max: d.Rule.MaxFailed}
	}
	m.joins[then] = j
	if d.Scope == "" {
		m.place(run, m.joins, then)
	}
}

// place gives a join what has been emitted before.
func (m *model) place(owner string, in map[string]mJoin, then string) {
	j := in[then]
	for _, e := range j.events {
		if m.events[owner+" "+e] && !j.only {
			j.got = append(slices.Clip(j.got), e)
		}
	}
	in[then] = j
	m.check(in, then)
}

func (m *model) check(in map[string]mJoin, then string) {
	j := in[then]
	n := len(j.got)
	fulfilled := false
	switch j.mode {
	case joins.All:
		fulfilled = n == len(j.events)
	case joins.Any:
		fulfilled = n > 0 || len(j.events) == 0
	case joins.Some:
		fulfilled = n >= min(j.need, len(j.events))
	case joins.Fork:
		m.fireFork(j.fork)
		return
	}
	if fulfilled {
		m.fire(in, then)
	}
}

// fire sends a join's message; one in a wider scope tells its run.
func (m *model) fire(in map[string]mJoin, then string) {
	j := in[then]
	delete(in, then)
	if j.scope != "" {
		m.home[then] = then
		return
	}
	m.tasks[then] = mTask{run: j.run}
}

func (m *model) emit(owner string, in map[string]mJoin, event string) {
	m.events[owner+" "+event] = true
	for _, then := range sorted(in) {
		j := in[then]
		mine := j.run == owner && j.scope == "" || j.scope == owner
		if mine && slices.Contains(j.events, event) && !slices.Contains(j.got, event) {
			j.got = append(slices.Clip(j.got), event)
			in[then] = j
			m.check(in, then)
		}
	}
}

// tick is a join's deadline.
func (m *model) tick(in map[string]mJoin, then string) {
	j, ok := in[then]
	if !ok {
		return
	}
	delete(in, then)
	if j.scope != "" {
		m.home[then] = j.els
		return
	}
	if r := m.runs[j.run]; j.els != "" && !r.status.Stopped() {
		m.tasks[j.els] = mTask{run: j.run}
	}
	m.settle(j.run)
}

func (m *model) enlist(then string, j mJoin) {
	m.wide[then] = j
	m.place(j.scope, m.wide, then)
}

// homecoming is a run that learns of its join's end in a wider scope.
func (m *model) homecoming(then string) {
	sends := m.home[then]
	delete(m.home, then)
	j, ok := m.joins[then]
	if !ok {
		return
	}
	delete(m.joins, then)
	if sends != "" {
		m.tasks[sends] = mTask{run: j.run}
	}
	m.settle(j.run)
}

func (m *model) cancel(t mTask, d step.Cancel) {
	if timer, ok := m.named(t.run, d.Name); ok {
		if m.claimed(timer) {
			m.late(t, d.Late)
			return
		}
		delete(m.tasks, timer)
		return
	}
	if then, ok := m.joinNamed(t.run, d.Name); ok {
		delete(m.joins, then)
		return
	}
	m.late(t, d.Late)
}

// claimed reports whether a worker had a timer.
func (m *model) claimed(timer string) bool {
	if m.look.loose[timer] {
		return m.look.exists(timer)
	}
	return m.look.held(timer)
}

func (m *model) late(t mTask, s *step.Send) {
	if s != nil {
		m.send(t, *s, "")
	}
}
