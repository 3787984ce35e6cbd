package step_test

import (
	"fmt"
	"maps"
	"strings"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// end stops a run: what was not begun is dropped.
func (m *model) end(run string, status store.Status) {
	r, ok := m.runs[run]
	if !ok || r.status.Stopped() {
		return
	}
	r.status = status
	m.runs[run] = r
	maps.DeleteFunc(m.joins, func(_ string, j mJoin) bool { return j.run == run })
	maps.DeleteFunc(m.tasks, func(l string, t mTask) bool {
		if t.run != run {
			return false
		}
		if m.look.loose[l] {
			return !m.look.exists(l)
		}
		return !m.look.held(l)
	})
}

// waitsFor counts what a run has open, and which of that only its own events
// can end.
func (m *model) waitsFor(run string) (open, waiting int) {
	r := m.runs[run]
	for _, t := range m.tasks {
		if t.run == run {
			open++
		}
	}
	for _, j := range m.joins {
		if j.run == run {
			open++
			if j.scope == "" && !j.timed {
				waiting++
			}
		}
	}
	for _, t := range m.dead {
		if t.run == run && t.fork == "" && (t.undo || !r.status.Stopped()) {
			open++
		}
	}
	for at, rel := range m.releases {
		if rel.run == run && !strings.HasPrefix(at, "staged") {
			open++
		}
	}
	return open, waiting
}

func (m *model) settle(run string) {
	r, ok := m.runs[run]
	if !ok || r.status.Closed() {
		return
	}
	open, waiting := m.waitsFor(run)
	switch {
	case r.status == store.Failing:
		if open == 0 {
			m.unwind(run)
		}
		return
	case open == 0:
		r.status = store.Finished
	case open == waiting:
		r.status = store.Stalled
	default:
		r.status = store.Running
	}
	m.runs[run] = r
}

func (m *model) unwind(run string) {
	r := m.runs[run]
	switch {
	case len(r.undos) > 0:
		r.undoing = r.undos[len(r.undos)-1]
		m.tasks[r.undoing] = mTask{run: run, undo: true}
	case r.cancel:
		r.status = store.Cancelled
	default:
		r.status = store.Failed
	}
	m.runs[run] = r
}

// retry reports whether the message stays.
func (m *model) retry(at string) bool {
	t := m.tasks[at]
	if r, ok := m.runs[t.run]; ok && r.status.Stopped() && !t.undo {
		m.drop(at)
		return false
	}
	m.settle(t.run)
	return true
}

func (m *model) drop(at string) {
	t := m.tasks[at]
	delete(m.tasks, at)
	m.left(t, true)
	m.settle(t.run)
}

func (m *model) reject(at string) {
	t := m.tasks[at]
	delete(m.tasks, at)
	r, ok := m.runs[t.run]
	t.name = ""
	switch {
	case !ok || t.undo:
	case r.status.Stopped() || t.fork != "":
		m.left(t, true)
		t.fork = "ended"
	case r.onDead == step.Compensate:
		t.fork = "ended"
		m.end(t.run, store.Failing)
	case r.onDead == step.FailRun:
		t.fork = "ended"
		m.end(t.run, store.Failed)
		r = m.runs[t.run]
		r.undos = nil
		m.runs[t.run] = r
	}
	m.dead[at] = t
	m.settle(t.run)
}

func (m *model) requeue(at string) {
	t := m.dead[at]
	if r, ok := m.runs[t.run]; ok && r.status.Stopped() && !t.undo {
		m.invalid = true
		return
	}
	delete(m.dead, at)
	t.fork = ""
	m.tasks[at] = t
	m.settle(t.run)
}

func (m *model) discard(at string) {
	t := m.dead[at]
	delete(m.dead, at)
	if t.undo {
		m.left(t, false)
	}
	m.settle(t.run)
}

func (m *model) abort(run string, cancel bool) {
	r := m.runs[run]
	if r.status.Stopped() {
		return
	}
	r.cancel = cancel
	m.runs[run] = r
	m.end(run, store.Failing)
	m.settle(run)
}

// String is what of the model must be in the store.
func (m *model) String() string {
	var b strings.Builder
	for _, id := range sorted(m.runs) {
		r := m.runs[id]
		open, waiting := m.waitsFor(id)
		fmt.Fprintf(&b, "run %s %s open %d waiting %d undos %d\n", id, r.status, open, waiting, len(r.undos))
	}
	for _, l := range sorted(m.tasks) {
		fmt.Fprintf(&b, "task %s of %q\n", l, m.tasks[l].run)
	}
	for _, l := range sorted(m.joins) {
		if j := m.joins[l]; j.scope == "" {
			fmt.Fprintf(&b, "join %s\n", l)
		}
	}
	for _, l := range sorted(m.wide) {
		fmt.Fprintf(&b, "wide %s\n", l)
	}
	for _, l := range sorted(m.dead) {
		fmt.Fprintf(&b, "dead %s\n", l)
	}
	return b.String()
}
