package step_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

func undo(task string) step.Undo { return step.Undo{Send: send(task)} }

// When a run fails, what was not begun is discarded, and the undos run in
// reverse order, one after the other.
//
// C1, N3
func TestUndosInReverse(t *testing.T) {
	s := newSim(t)
	s.task("s/1", undo("s/undo1"), send("s/2"), step.Send{Task: "s/later", After: time.Hour})
	s.task("s/2", undo("s/undo2"), undo("s/undo3"), send("s/3"), step.Join{Rule: all("e"), Within: time.Hour, Then: send("s/later")})
	s.task("s/3", step.Fail{Reason: "why"}, send("s/later"), undo("s/undo4"))
	s.leaf("s/undo1", "s/undo2", "s/undo3", "s/undo4", "s/later")
	s.start("r", "s/1")
	s.advance(2 * time.Hour)
	s.wantRan("s/1", "s/2", "s/3", "s/undo4", "s/undo3", "s/undo2", "s/undo1")
	s.wantStatus("r", store.Failed)
	if r := s.run("r"); r.Error != "why" || r.Undos != 0 {
		t.Fatalf("run %+v", r)
	}
	s.wantRows(store.Undo, 0)
}

// Steps in flight end, the undos that they register count, and what they send
// does not. No undo runs before the last of them has ended.
//
// C1
func TestUndosOfStepsInFlight(t *testing.T) {
	s := newSim(t)
	s.task("s/1", undo("s/undo1"), send("s/flight"), send("s/fail"))
	s.task("s/flight", undo("s/undo2"), send("s/never"), emit("e"), step.Finish{})
	s.task("s/fail", step.Fail{Reason: "why"})
	s.leaf("s/undo1", "s/undo2")
	s.applied(begin("r", "s/1"))
	s.carryOut(s.take())
	got := s.grab(2)
	flight := s.handle(got[0], nil)
	s.carryOut(got[1])
	s.drain()
	s.wantStatus("r", store.Failing)
	s.wantTimes("s/undo1", 0)
	s.applied(flight)
	s.drain()
	s.wantRan("s/1", "s/flight", "s/fail", "s/undo2", "s/undo1")
	s.wantStatus("r", store.Failed)
}

// A step in flight that fails is not tried again once its run fails.
//
// C1, R1
func TestRetryInAFailingRun(t *testing.T) {
	s := newSim(t)
	s.task("s/1", send("s/flight"), send("s/fail"))
	s.task("s/fail", step.Fail{})
	s.applied(begin("r", "s/1"))
	s.carryOut(s.take())
	got := s.grab(2)
	s.carryOut(got[1])
	s.applied(&step.Outcome{Verb: step.Retry, Message: got[0], Failure: &step.Failure{Text: "no"}})
	s.wantStatus("r", store.Failed)
	if n := len(s.messages()); n != 0 {
		t.Fatalf("%d messages", n)
	}
}

// A failing undo is tried by its own policy; as a dead letter it stops the
// chain and says so on the run. Sent again, or discarded, the chain goes on.
//
// C1, R4
func TestFailingUndo(t *testing.T) {
	for _, discard := range []bool{true, false} {
		s := newSim(t)
		s.task("s/1", undo("s/undo1"), undo("s/undo2"), undo("s/undo3"), step.Fail{Reason: "why"})
		s.leaf("s/undo1", "s/undo3")
		bad := true
		s.on["s/undo2"] = func(m *store.Message, _ *store.Run) deed {
			switch {
			case m.Tries == 0:
				return again(time.Minute, "not yet")
			case bad:
				return broken("never")
			}
			return do()
		}
		s.start("r", "s/1")
		s.advance(time.Hour)
		s.wantStatus("r", store.Failing)
		s.wantTimes("s/undo1", 0)
		if r := s.run("r"); !strings.Contains(r.Error, "why; undo 2 (s/undo2) is a dead letter: never") || r.Dead != 1 {
			t.Fatalf("run %+v", r)
		}
		seq, _ := s.dead()
		bad = false
		op := &step.Outcome{Verb: step.Requeue, Dead: &step.DeadOp{Seq: seq}}
		if discard {
			op.Verb = step.Discard
		}
		s.applied(op)
		s.drain()
		s.wantTimes("s/undo1", 1)
		s.wantTimes("s/undo3", 1)
		s.wantStatus("r", store.Failed)
		s.wantRows(store.Undo, 0)
	}
}

// An undo may send jobs, but nothing that would keep its run from its end.
//
// C1
func TestWhatAnUndoDecides(t *testing.T) {
	f := forkOf(2, "s/job")
	late := send("s/job")
	for name, c := range map[string]struct {
		ds   []step.Decision
		jobs int
		code step.Code
	}{
		"sends":     {[]step.Decision{send("s/job"), f, step.Cancel{Name: "x", Late: &late}, step.Record{Kind: "k"}}, 4, step.Applied},
		"ends":      {[]step.Decision{step.Finish{}, step.Fail{}}, 0, step.Applied},
		"a join":    {[]step.Decision{step.Join{Rule: all("e"), Then: send("s/job")}}, 0, step.Invalid},
		"an undo":   {[]step.Decision{undo("s/job")}, 0, step.Invalid},
		"an event":  {[]step.Decision{emit("e")}, 0, step.Applied},
		"AllOf":     {[]step.Decision{f, step.Join{Rule: joinsOfFork(), Fork: f, Then: send("s/job")}}, 0, step.Invalid},
		"a timer":   {[]step.Decision{step.Send{Task: "s/job", Name: "x"}, step.Send{Task: "s/job", Name: "x"}}, 2, step.Applied},
		"new state": {[]step.Decision{step.SetState{Data: []byte("s")}}, 0, step.Applied},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			s.task("s/1", undo("s/undo"), step.Fail{})
			s.task("s/undo", c.ds...)
			s.leaf("s/job")
			s.applied(begin("r", "s/1"))
			s.carryOut(s.take())
			m := s.take()
			if v := s.commit(s.handle(m, nil)); v.Code != c.code {
				t.Fatalf("%s (%v), want %s", v.Code, v.Err, c.code)
			}
			if c.code == step.Invalid {
				s.applied(&step.Outcome{Verb: step.Discard, Dead: &step.DeadOp{Seq: s.rejected(m)}})
			}
			s.drain()
			s.wantStatus("r", store.Failed)
			s.wantTimes("s/job", c.jobs)
		})
	}
}

// rejected makes m a dead letter and returns its seq.
func (s *sim) rejected(m *store.Message) int64 {
	s.t.Helper()
	s.applied(&step.Outcome{Verb: step.Reject, Message: m, Failure: &step.Failure{Text: "no"}})
	return m.Seq
}

// An abort from outside does what Fail does, with its own reason; a cancelled
// run says so. A second abort changes nothing.
//
// N3, C1
func TestAbort(t *testing.T) {
	for _, cancel := range []bool{true, false} {
		s := newSim(t)
		s.task("s/1", undo("s/undo"), step.Send{Task: "s/never", After: time.Hour}, step.Join{Rule: all("e"), Then: send("s/never")})
		s.leaf("s/undo")
		s.start("r", "s/1")
		abort := &step.Outcome{Verb: step.Abort, Abort: &step.AbortOp{RunID: "r", Reason: "stop", Cancel: cancel}}
		s.applied(abort)
		if v := s.commit(abort); v.Code != step.Existed {
			t.Fatalf("again: %s", v.Code)
		}
		s.drain()
		want := store.Failed
		if cancel {
			want = store.Cancelled
		}
		s.wantStatus("r", want)
		s.wantTimes("s/undo", 1)
		if r := s.run("r"); r.Error != "stop" {
			t.Fatalf("error %q", r.Error)
		}
		if v := s.commit(&step.Outcome{Verb: step.Abort, Abort: &step.AbortOp{RunID: "nobody"}}); v.Code != step.Missing {
			t.Fatalf("of no run: %s", v.Code)
		}
	}
}

// A crash between any two commits of a compensation runs no undo twice.
//
// C1, M2, M3
func TestCrashesWhileUndoing(t *testing.T) {
	s := newSim(t)
	var ds []step.Decision
	var want []string
	for i := range 5 {
		ds = append(ds, undo(fmt.Sprint("s/undo", i)))
		want = append([]string{fmt.Sprint("s/undo", i)}, want...)
		s.leaf(want[0])
	}
	s.task("s/1", append(ds, step.Fail{})...)
	s.applied(begin("r", "s/1"))
	for len(s.messages()) > 0 {
		s.take()
		s.crash()
		s.carryOut(s.take())
	}
	s.wantRan(append([]string{"s/1"}, want...)...)
	s.wantStatus("r", store.Failed)
}
