package step_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

// Finish closes the run with a result: what was not begun is dropped, and
// listed; steps in flight end without effects.
//
// N1
func TestFinish(t *testing.T) {
	s := newSim(t)
	s.task("s/start", undo("s/never"), send("s/flight"), send("s/end"), step.Send{Task: "s/never", After: time.Hour},
		step.Join{Name: "j", Rule: all("e"), Within: time.Hour, Then: send("s/never")})
	s.task("s/end", send("s/never"), step.Finish{Result: []byte("res")}, step.Finish{Result: []byte("second")}, step.Fail{Reason: "no"}, send("s/never"))
	s.task("s/flight", send("s/never"), undo("s/never"), emit("e"), step.Reply{Topic: "t"}, step.Fail{})
	s.applied(begin("r", "s/start"))
	s.carryOut(s.take())
	got := s.grab(2)
	flight := s.handle(got[0], nil)
	s.carryOut(got[1])
	r := s.run("r")
	if r.Status != store.Finished || string(r.Result) != "res" || r.Error != "" || r.Ended == 0 {
		t.Fatalf("run %+v", r)
	}
	if e := s.last("r", "step"); len(e.Dropped) != 4 {
		t.Fatalf("dropped: %v", e.Dropped)
	}
	s.applied(flight)
	s.advance(2 * time.Hour)
	if e := s.last("r", "late"); e.Task != "s/flight" {
		t.Fatalf("entry %+v", e)
	}
	if r := s.run("r"); r.Status != store.Finished || r.Open != 0 {
		t.Fatalf("run %+v", r)
	}
	if n := len(s.messages()); n != 0 {
		t.Fatalf("%d messages are left", n)
	}
	if c := s.counters(); c.Cancelled != 4 { // two children, a timer, a deadline
		t.Fatalf("counters %+v", c)
	}
}

// Without Finish, a run is finished when nothing of it is open.
//
// N2
func TestEndByItself(t *testing.T) {
	s := newSim(t)
	s.task("s/start", send("s/a"), step.Send{Task: "s/a", After: time.Hour})
	s.leaf("s/a")
	s.applied(begin("r", "s/start"))
	s.drain()
	s.wantStatus("r", store.Running)
	s.advance(time.Hour)
	s.wantStatus("r", store.Finished)
}

// With nothing open but joins that no message can fulfil any more, a run is
// stalled. A deadline, a timer, a dead letter or a wider scope can still help.
//
// N2
func TestStalled(t *testing.T) {
	join := step.Join{Rule: all("e"), Then: send("s/never")}
	timedJoin, wideJoin := join, join
	timedJoin.Within, wideJoin.Scope = time.Hour, wide
	for name, c := range map[string]struct {
		ds   []step.Decision
		want store.Status
	}{
		"join":            {[]step.Decision{join}, store.Stalled},
		"two joins":       {[]step.Decision{join, join}, store.Stalled},
		"with a deadline": {[]step.Decision{timedJoin, join}, store.Running},
		"with a timer":    {[]step.Decision{join, step.Send{Task: "s/never", After: time.Hour}}, store.Running},
		"in a scope":      {[]step.Decision{wideJoin}, store.Running},
		"dead letter":     {[]step.Decision{join, send("s/bad")}, store.Running},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			s.task("s/start", c.ds...)
			s.on["s/bad"] = func(*store.Message, *store.Run) deed { return broken("no") }
			s.start("r", "s/start")
			s.wantStatus("r", c.want)
			s.applied(&step.Outcome{Verb: step.Abort, Abort: &step.AbortOp{RunID: "r", Cancel: true}})
			s.wantStatus("r", store.Cancelled)
			for _, row := range s.rows(store.Dead) {
				seq, _ := store.ParseNum(row.Name)
				s.applied(&step.Outcome{Verb: step.Discard, Dead: &step.DeadOp{Seq: seq}})
			}
		})
	}
}

// What a run has open is swept piece by piece when it is more than one commit
// should drop: messages, joins, deadlines, joins in wider scopes.
//
// N1, C1, L6
func TestBigSweep(t *testing.T) {
	late := send("s/never")
	late2 := late
	kinds := map[string]func(i int) step.Decision{
		"messages": func(int) step.Decision { return step.Send{Task: "s/never", After: time.Hour} },
		"timers":   func(i int) step.Decision { return timed(fmt.Sprint("t", i), time.Hour) },
		"joins":    func(i int) step.Decision { return step.Join{Rule: all("e", fmt.Sprint(i)), Then: late} },
		"deadlines": func(i int) step.Decision {
			return step.Join{Name: fmt.Sprint("j", 999-i), Rule: all("e"), Within: time.Hour, Then: late, Else: &late2}
		},
		"scopes": func(int) step.Decision { return step.Join{Rule: all("e"), Scope: wide, Then: late} },
	}
	for name, decision := range kinds {
		for _, finish := range []bool{true, false} {
			t.Run(fmt.Sprint(name, finish), func(t *testing.T) {
				s := newSim(t)
				s.quiet = true
				ds := []step.Decision{undo("s/undo"), step.Send{Task: "s/end", After: time.Minute}}
				for i := range 600 {
					ds = append(ds, decision(i))
				}
				s.task("s/start", ds...)
				s.task("s/end", step.Fail{Reason: "no"})
				if finish {
					s.task("s/end", step.Finish{})
				}
				s.leaf("s/undo")
				s.start("r", "s/start")
				s.advance(10 * time.Minute)
				if n := len(s.messages()); n != 0 && name != "scopes" {
					t.Fatalf("%d messages are left", n)
				}
				s.wantRows(store.Join, 0)
				want, undone := store.Failed, 1
				if finish {
					want, undone = store.Finished, 0
				}
				s.wantStatus("r", want)
				s.wantTimes("s/undo", undone)
				if r := s.run("r"); r.Open != 0 || r.Waiting != 0 {
					t.Fatalf("open %d, waiting %d", r.Open, r.Waiting)
				}
			})
		}
	}
}

// A deadline that comes while a run is being swept sends nothing any more.
//
// N1, F7
func TestDeadlineWhileSwept(t *testing.T) {
	late := send("s/never")
	s := newSim(t)
	s.quiet = true
	var ds []step.Decision
	for range 300 {
		ds = append(ds, step.Join{Rule: all("e"), Within: time.Minute, Then: late, Else: &late})
	}
	s.task("s/start", append(ds, step.Send{Task: "s/end", After: time.Minute, Priority: 1})...)
	s.task("s/end", step.Finish{})
	s.start("r", "s/start")
	s.clock.Advance(time.Minute)
	s.carryOut(s.grab(1)[0])
	for _, m := range s.grab(1000) {
		if m.Kind == store.Tick {
			s.applied(&step.Outcome{Verb: step.Internal, Message: m})
		} else {
			s.applied(&step.Outcome{Verb: step.Yield, Message: m})
		}
	}
	for _, m := range s.messages() {
		if m.Kind == store.Task {
			t.Fatal("an alternative was sent")
		}
	}
	s.drain()
	s.wantRows(store.Join, 0)
}

// Runs that a commit has closed are told, for those who wait for results.
//
// N4
func TestEndIsTold(t *testing.T) {
	s := newSim(t)
	s.leaf("s/start")
	s.applied(begin("r", "s/start"))
	m := s.take()
	res := s.commitAs(s.worker, s.handle(m, nil))
	if len(res.Ended) != 1 || res.Ended[0].ID != "r" || res.Ended[0].Status != store.Finished {
		t.Fatalf("ended: %v", res.Ended)
	}
}

// A message of a run that was purged meanwhile ends without effects.
//
// N1, H4
func TestStepOfAPurgedRun(t *testing.T) {
	for _, verb := range []step.Verb{step.Done, step.Retry, step.Reject, step.Drop} {
		s := newSim(t)
		s.quiet = true
		s.task("s/start", send("s/flight"), send("s/end"))
		s.task("s/end", step.Finish{})
		s.applied(begin("r", "s/start"))
		s.carryOut(s.take())
		got := s.grab(2)
		s.carryOut(got[1])
		s.clock.Advance(time.Hour)
		_, err := s.store.Purge(s.ctx(), store.Purge{EndedBefore: s.clock.Instant(), Limit: 9})
		s.must(err)
		s.applied(&step.Outcome{Verb: verb, Message: got[0], Decisions: []step.Decision{send("s/end"), emit("e")}, Failure: &step.Failure{}})
		for _, m := range s.grab(9) {
			s.carryOut(m)
		}
		if n := len(s.messages()); n != 0 {
			t.Errorf("%s: %d messages are left", verb, n)
		}
	}
}
