package step_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-go/millrace/joins"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

// A program is what each task decides, fixed the first time that it is asked.
// It has nothing in which order matters: no deadline, no timer's name, no end.
type program struct {
	plan  *planner
	tasks map[string][]step.Decision
}

func (p *program) of(m *store.Message, at string) []step.Decision {
	ds, ok := p.tasks[at]
	if !ok && p.plan.labels < p.plan.most {
		for range p.plan.number(0, 4) {
			ds = append(ds, p.decision()...)
		}
	}
	p.tasks[at] = ds
	return ds
}

func (p *program) decision() []step.Decision {
	switch p.plan.number(0, 4) {
	case 0:
		e := p.plan.emit()
		return []step.Decision{e}
	case 1, 2:
		j := p.plan.join()
		j.Name, j.Within, j.Else, j.OnlyAfter = "", 0, nil, false
		return []step.Decision{j}
	case 3:
		f := &step.Fork{Sends: p.plan.sends(3)}
		j := step.Join{Rule: joinsOfFork(), Fork: f, Then: p.plan.send()}
		return []step.Decision{f, j}
	}
	return []step.Decision{p.plan.send()}
}

// meaning is what a program must come to, whatever the order: which tasks are
// run, and which joins of which run stay open.
type meaning struct {
	p       *program
	run     map[string]string // label of a task: its run
	ended   map[string]bool
	events  map[string]bool
	waiting []opened
}

type opened struct {
	run  string
	join step.Join
}

// evaluate runs tasks, one after the other, and fires what can be fired, until
// nothing changes any more.
func (p *program) evaluate(starts map[string]string) *meaning {
	m := &meaning{p: p, run: map[string]string{}, ended: map[string]bool{}, events: map[string]bool{}}
	for at, run := range starts {
		m.run[at] = run
	}
	for changed := true; changed; {
		changed = false
		for _, at := range sorted(m.run) {
			if !m.ended[at] {
				m.ended[at], changed = true, true
				m.carryOut(m.run[at], p.tasks[at])
			}
		}
		m.waiting = slices.DeleteFunc(m.waiting, func(o opened) bool {
			fires := m.fires(o)
			if fires {
				m.run[label(o.join.Then.Payload)], changed = o.run, true
			}
			return fires
		})
	}
	return m
}

func (m *meaning) carryOut(run string, ds []step.Decision) {
	for _, d := range ds {
		switch d := d.(type) {
		case step.Send:
			m.run[label(d.Payload)] = run
		case *step.Fork:
			for _, s := range d.Sends {
				m.run[label(s.Payload)] = run
			}
		case step.Emit:
			m.events[scopeOr(run, d.Scope)+" "+d.Event] = true
		case step.Join:
			m.waiting = append(m.waiting, opened{run, d})
		}
	}
}

func scopeOr(run, scope string) string {
	if scope != "" {
		return scope
	}
	return run
}

func (m *meaning) fires(o opened) bool {
	n := 0
	if f := o.join.Fork; f != nil {
		for _, s := range f.Sends {
			if m.ended[label(s.Payload)] {
				n++
			}
		}
		return n == len(f.Sends)
	}
	rule := o.join.Rule
	for _, e := range rule.Events {
		if m.events[scopeOr(o.run, o.join.Scope)+" "+e] {
			n++
		}
	}
	switch rule.Mode {
	case joins.Any:
		return n > 0 || len(rule.Events) == 0
	case joins.Some:
		return n >= min(rule.Need, len(rule.Events))
	}
	return n == len(rule.Events)
}

// status is how a run must end up.
func (m *meaning) status(run string) store.Status {
	status := store.Finished
	for _, o := range m.waiting {
		switch {
		case o.run != run:
		case o.join.Scope != "":
			return store.Running
		default:
			status = store.Stalled
		}
	}
	return status
}

// Programs without races mean the same whatever the order in which their
// tasks end, in whatever batches, with crashes, repetitions and attempts in
// between: the same tasks are run, each once, and the same joins fire.
//
// F1, F2, F3, F6, F8, F9
// M2, M3, M9, N2
func TestProgramsMeanTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.program = &program{plan: &w.plan, tasks: map[string][]step.Decision{}}
		starts := map[string]string{}
		for range w.plan.number(1, 3) {
			w.begun++
			id, input := fmt.Sprint("r", w.begun), w.plan.label()
			starts[string(input)] = id
			w.do(w.workers[0], []*step.Outcome{{Verb: step.Begin, Start: &step.Start{RunID: id, Task: "s/t", Input: input, Nonce: "n"}}})
		}
		for range w.plan.number(0, 40) {
			w.actInOrder()
		}
		w.crash(w.workers[1])
		w.settleDown(w.workers[0])
		want := w.program.evaluate(starts)
		if got := sorted(w.ids); strings.Join(got, " ") != strings.Join(sorted(want.run), " ") {
			t.Fatalf("sent were\n%v, and should be\n%v", got, sorted(want.run))
		}
		for _, r := range w.find(store.Query{Runs: &store.RunQuery{}}).Runs {
			if r.Status != want.status(r.ID) {
				t.Fatalf("run %s is %s, and should be %s", r.ID, r.Status, want.status(r.ID))
			}
		}
	})
}

// actInOrder is act without what makes a difference.
func (w *world) actInOrder() {
	h := one(&w.plan, w.workers)
	switch n := w.plan.number(0, 9); {
	case n < 6:
		w.work(h, w.plan.number(1, 4))
	case n < 8:
		w.grab(h, w.plan.number(1, 3))
	case n < 9:
		w.crash(h)
	default:
		w.ghost()
	}
}
