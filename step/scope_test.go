package step_test

import (
	"testing"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

const wide = "order/42"

// Joins and events meet in a wider scope, across runs, whichever comes first.
//
// F8, F2, F3
func TestWiderScope(t *testing.T) {
	for _, joinFirst := range []bool{true, false} {
		s := newSim(t)
		s.task("s/wait", step.Join{Name: "j", Scope: wide, Rule: all("a", "b"), Then: send("s/then", 'x')})
		s.task("s/emit", step.Emit{Scope: wide, Event: "a", Data: []byte("1")}, step.Emit{Scope: wide, Event: "b"})
		s.leaf("s/then")
		if joinFirst {
			s.start("waiting", "s/wait")
			s.wantStatus("waiting", store.Running)
		}
		s.start("emitting", "s/emit")
		s.wantStatus("emitting", store.Finished)
		if !joinFirst {
			s.start("waiting", "s/wait")
		}
		if got := events(s.joined("s/then")); got != "[a=1 b=]" {
			t.Fatal(got)
		}
		if m := s.got["s/then"][0]; m.RunID != "waiting" {
			t.Fatalf("joined task belongs to run %q", m.RunID)
		}
		s.wantStatus("waiting", store.Finished)
		s.wantRows(store.Join, 0)
	}
}

// An event of a wider scope is none of the run's own, and the other way round.
//
// F8
func TestScopesAreApart(t *testing.T) {
	s := newSim(t)
	s.task("s/start", step.Emit{Scope: wide, Event: "a"}, emit("b"),
		step.Join{Name: "j", Rule: all("a"), Then: send("s/then")}, step.Join{Name: "k", Scope: wide, Rule: all("b"), Then: send("s/then")})
	s.leaf("s/then")
	s.start("r", "s/start")
	s.wantTimes("s/then", 0)
}

// Nothing of a step is visible in a wider scope before the step's commit.
//
// M4, F8
func TestWiderEventIsNotVisibleBeforeCommit(t *testing.T) {
	s := newSim(t)
	s.task("s/wait", step.Join{Scope: wide, Rule: all("a"), Then: send("s/then")})
	s.task("s/emit", step.Emit{Scope: wide, Event: "a"})
	s.leaf("s/then")
	s.start("waiting", "s/wait")
	s.applied(begin("emitting", "s/emit"))
	out := s.handle(s.take(), nil)
	s.drain()
	s.wantTimes("s/then", 0)
	s.applied(out)
	s.drain()
	s.wantTimes("s/then", 1)
}

// A deadline in a wider scope, with an alternative and without.
//
// F7, F8
func TestWiderDeadline(t *testing.T) {
	s := newSim(t)
	late := send("s/else")
	s.task("s/wait", step.Join{Scope: wide, Rule: all("a"), Within: time.Hour, Then: send("s/then"), Else: &late})
	s.task("s/mute", step.Join{Scope: wide, Rule: all("a"), Within: time.Hour, Then: send("s/then")})
	s.leaf("s/then", "s/else")
	s.start("r", "s/wait")
	s.start("q", "s/mute")
	s.advance(time.Hour)
	if res := s.joined("s/else"); !res.Late {
		t.Fatal("alternative does not know that it is late")
	}
	s.wantStatus("r", store.Finished)
	s.wantStatus("q", store.Finished)
}

// A run that ends takes its joins out of wider scopes.
//
// N1, F8
func TestFinishDelists(t *testing.T) {
	s := newSim(t)
	s.task("s/wait", step.Join{Name: "j", Scope: wide, Rule: all("a"), Then: send("s/then")}, step.Send{Task: "s/end", After: time.Hour})
	s.task("s/end", step.Finish{})
	s.task("s/emit", step.Emit{Scope: wide, Event: "a"})
	s.leaf("s/then")
	s.start("r", "s/wait")
	s.advance(time.Hour)
	s.wantStatus("r", store.Finished)
	s.wantRows(store.Join, 0)
	s.start("emitting", "s/emit")
	s.wantTimes("s/then", 0)
}

// A join that the run has cancelled in time sends nothing, even if it fires in
// its scope before the scope learns of that.
//
// T2, F8, F7
func TestCancelOfAWiderJoinThatFires(t *testing.T) {
	s := newSim(t)
	s.task("s/wait", step.Join{Name: "j", Scope: wide, Rule: all("a"), Then: send("s/then")}, step.Send{Task: "s/cancel", After: time.Hour})
	s.task("s/cancel", step.Cancel{Name: "j"}, step.Send{Task: "s/last", After: time.Hour}) // the run goes on
	s.task("s/emit", step.Emit{Scope: wide, Event: "a"})
	s.leaf("s/then", "s/last")
	s.start("r", "s/wait")
	s.applied(begin("emitting", "s/emit"))
	s.carryOut(s.take())
	s.carryOut(s.take()) // the event reaches its scope, and the join fires there
	s.clock.Advance(time.Hour)
	for _, m := range s.grab(9) {
		if m.Task == "s/cancel" {
			s.carryOut(m)
		} else {
			s.applied(&step.Outcome{Verb: step.Yield, Message: m})
		}
	}
	if e := s.last("r", "step"); len(e.Cancelled) != 1 {
		t.Fatalf("join was not cancelled in time: %+v", e)
	}
	s.drain()
	s.wantTimes("s/then", 0)
	s.wantStatus("r", store.Running)
	s.advance(time.Hour)
	s.wantStatus("r", store.Finished)
}

// A step that a wider scope's join has sent is a step of its run: a failing
// run waits for its end, and its undos count.
//
// C1, F8
func TestFailureWaitsForTheStepOfAWiderJoin(t *testing.T) {
	s := newSim(t)
	s.task("s/wait", step.Undo{Send: send("s/undo1")}, step.Join{Scope: wide, Rule: all("a"), Then: send("s/then")}, step.Emit{Scope: wide, Event: "a"})
	s.task("s/then", step.Undo{Send: send("s/undo2")})
	s.leaf("s/undo1", "s/undo2")
	s.applied(begin("r", "s/wait"))
	then := s.take()
	for ; then.Task != "s/then"; then = s.grab(1)[0] {
		s.carryOut(then)
	}
	out := s.handle(then, nil)
	s.applied(&step.Outcome{Verb: step.Abort, Abort: &step.AbortOp{RunID: "r", Reason: "stop", Cancel: true}})
	s.drain()
	s.wantTimes("s/undo1", 0)
	s.wantStatus("r", store.Failing)
	s.applied(out)
	s.drain()
	s.wantRan("s/wait", "s/then", "s/undo2", "s/undo1")
	s.wantStatus("r", store.Cancelled)
}

// The dead letter of a wider join's message does to its run what the author
// chose, as any other.
//
// R4, F8
func TestDeadLetterOfAWiderJoin(t *testing.T) {
	s := newSim(t)
	s.task("s/wait", step.Join{Scope: wide, Rule: all("a"), Then: send("s/then")}, step.Emit{Scope: wide, Event: "a"})
	s.on["s/then"] = func(*store.Message, *store.Run) deed { return broken("no") }
	s.start("r", "s/wait")
	s.wantStatus("r", store.Running)
	if r := s.run("r"); r.Dead != 1 || r.Open != 1 {
		t.Fatalf("dead %d, open %d", r.Dead, r.Open)
	}
}

// A scope ends after its retention, counted from its last use, and never
// under an open join.
//
// F8, H4
func TestScopeExpires(t *testing.T) {
	s := newSim(t)
	s.task("s/emit", step.Emit{Scope: wide, Event: "a"})
	s.task("s/wait", step.Join{Scope: wide, Rule: all("b"), Within: 30 * 24 * time.Hour, Then: send("s/emit")})
	s.start("1", "s/emit")
	s.advance(5 * 24 * time.Hour)
	s.start("2", "s/emit")
	s.advance(6 * 24 * time.Hour)
	s.wantRows(store.Scope, 1)
	s.start("3", "s/wait")
	s.advance(20 * 24 * time.Hour)
	s.wantRows(store.Event, 2) // "a", and "b" that is waited for
	s.advance(30 * 24 * time.Hour)
	s.wantRows(store.Event, 0)
	s.wantRows(store.Scope, 0)
	if n := len(s.messages()); n != 0 {
		t.Fatalf("%d messages are left", n)
	}
}
