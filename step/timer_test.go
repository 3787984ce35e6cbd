package step_test

import (
	"testing"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

// timed is a timer with a name.
func timed(name string, after time.Duration) step.Send {
	return step.Send{Task: "s/timer", Name: name, After: after}
}

// A timer fires at its time, not before, once, whichever worker is alive then.
//
// T1, T4
func TestTimer(t *testing.T) {
	for _, after := range []time.Duration{time.Second, 365 * 24 * time.Hour} {
		s := newSim(t)
		s.task("s/start", timed("x", after))
		s.leaf("s/timer")
		s.start("r", "s/start")
		s.advance(after - time.Microsecond)
		s.wantTimes("s/timer", 0)
		s.crash()
		s.advance(time.Microsecond)
		s.wantTimes("s/timer", 1)
		s.wantStatus("r", store.Finished)
	}
}

// Of two times, the later one holds; a time that has passed is now.
//
// T1
func TestTimesOfASend(t *testing.T) {
	s := newSim(t)
	at := s.clock.Instant().Add(time.Hour)
	s.task("s/start",
		step.Send{Task: "s/a", At: at, After: time.Minute}, step.Send{Task: "s/b", At: at, After: 2 * time.Hour},
		step.Send{Task: "s/c", At: at.Add(-2 * time.Hour)})
	s.leaf("s/a", "s/b", "s/c")
	s.start("r", "s/start")
	s.wantRan("s/start", "s/c")
	s.advance(time.Hour)
	s.wantRan("s/start", "s/c", "s/a")
	s.advance(time.Hour)
	s.wantRan("s/start", "s/c", "s/a", "s/b")
}

// A named timer can be cancelled and moved, earlier and later; the history
// says that it came in time.
//
// T2
func TestCancelAndMove(t *testing.T) {
	s := newSim(t)
	s.task("s/start", timed("x", time.Hour), timed("y", time.Hour), timed("z", time.Hour), send("s/change"))
	s.task("s/change", step.Cancel{Name: "x"}, step.Move{Name: "y", After: 2 * time.Hour}, step.Move{Name: "z", At: s.clock.Instant()})
	s.leaf("s/timer")
	s.start("r", "s/start")
	s.wantTimes("s/timer", 1)
	s.advance(time.Hour)
	s.wantTimes("s/timer", 1)
	s.advance(time.Hour)
	s.wantTimes("s/timer", 2)
	for _, e := range s.history("r") {
		if e.Task == "s/change" && (len(e.Cancelled) != 1 || len(e.Moved) != 2 || len(e.Missed) != 0) {
			t.Fatalf("entry %+v", e)
		}
	}
	s.wantStatus("r", store.Finished)
}

// Too late, once a worker has claimed the timer, or when there is none: the
// history says so, and the alternative is sent.
//
// T2
func TestTooLate(t *testing.T) {
	s := newSim(t)
	late := send("s/late")
	s.task("s/start", timed("x", time.Hour), step.Send{Task: "s/change", After: time.Hour})
	s.task("s/change", step.Cancel{Name: "x", Late: &late}, step.Move{Name: "x", After: time.Hour, Late: &late}, step.Cancel{Name: "nobody"})
	s.leaf("s/timer", "s/late")
	s.start("r", "s/start")
	s.clock.Advance(time.Hour)
	got := s.grab(9) // both are claimed
	s.carryOut(got[1])
	s.carryOut(got[0])
	s.drain()
	s.wantTimes("s/timer", 1)
	s.wantTimes("s/late", 2)
	for _, e := range s.history("r") {
		if e.Task == "s/change" && len(e.Missed) != 3 {
			t.Fatalf("entry %+v", e)
		}
	}
}

// A timer's name is free again once the timer has ended.
//
// T2
func TestNameOfATimer(t *testing.T) {
	s := newSim(t)
	s.task("s/start", timed("x", time.Hour), send("s/next"))
	s.task("s/next", step.Cancel{Name: "x"}, timed("x", 2*time.Hour))
	s.leaf("s/timer")
	s.start("r", "s/start")
	s.advance(time.Hour)
	s.wantTimes("s/timer", 0)
	s.advance(time.Hour)
	s.wantTimes("s/timer", 1)
	for _, m := range s.messages() {
		t.Errorf("left: %+v", m)
	}
}

// The name of a dead letter may be taken by now; it is sent again without.
//
// T2, R4
func TestRequeueOfANamedTimer(t *testing.T) {
	s := newSim(t)
	s.task("s/start", timed("x", 0))
	fail := true
	s.on["s/timer"] = func(m *store.Message, _ *store.Run) deed {
		if fail {
			return broken("no")
		}
		if m.Name == "" && len(s.messages()) == 1 {
			return do(timed("x", time.Hour))
		}
		return do()
	}
	s.start("r", "s/start")
	seq, _ := s.dead()
	fail = false
	s.applied(&step.Outcome{Verb: step.Requeue, Dead: &step.DeadOp{Seq: seq}})
	s.drain()
	s.advance(time.Hour)
	s.wantTimes("s/timer", 3)
	s.wantStatus("r", store.Finished)
}

// A timer that waits for its exclusive key leaves the queue when it is moved
// or cancelled, and gives the key on when it was about to have it.
//
// T2, C2
func TestChangeOfATimerWithAKey(t *testing.T) {
	for _, woken := range []bool{true, false} {
		for name, change := range map[string]step.Decision{
			"cancel": step.Cancel{Name: "x"},
			"move":   step.Move{Name: "x", After: time.Hour},
		} {
			s := newSim(t)
			x := step.Send{Task: "s/timer", Name: "x", Key: "k"}
			s.task("s/start", step.Send{Task: "s/holder", Key: "k"}, x, step.Send{Task: "s/third", Key: "k"}, send("s/change"))
			s.task("s/change", change)
			s.leaf("s/holder", "s/timer", "s/third")
			s.applied(begin("r", "s/start"))
			s.carryOut(s.take())
			got := s.grab(9)
			holder := s.commit(&step.Outcome{Verb: step.Admit, Message: got[0], Key: "k"}).Message
			s.carryOut(got[1]) // parked
			s.carryOut(got[2]) // parked
			if woken {
				s.applied(s.handle(holder, nil))
			}
			s.carryOut(got[3])
			if !woken {
				s.applied(s.handle(holder, nil))
			}
			s.drain()
			s.wantTimes("s/third", 1)
			s.advance(time.Hour)
			want := 0
			if name == "move" {
				want = 1
			}
			s.wantTimes("s/timer", want)
			s.wantStatus("r", store.Finished)
			s.wantRows(store.Lock, 0)
			s.wantRows(store.Waiter, 0)
		}
	}
}
