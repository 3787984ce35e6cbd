package step_test

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

// A failed attempt is stored with number, time, place and text, and the
// message is due again after its delay, also after a crash. Once it succeeds,
// its attempts are gone.
//
// R1, R2, M8
func TestAttempts(t *testing.T) {
	s := newSim(t)
	s.on["s/a"] = func(m *store.Message, _ *store.Run) deed {
		if m.Attempt < 2 {
			return again(time.Minute, strings.Repeat("no ", 4000))
		}
		return do()
	}
	s.start("r", "s/a")
	s.advance(time.Minute - 1000)
	s.wantTimes("s/a", 1)
	s.crash()
	s.advance(time.Second)
	s.wantTimes("s/a", 2)
	rows := s.rows(store.Attempt)
	if len(rows) != 2 {
		t.Fatalf("%d attempts", len(rows))
	}
	a := decoded[step.AttemptRow](s, rows[1])
	if a.Number != 2 || a.Host != "here" || a.PID != 7 || a.At == 0 || !strings.HasPrefix(a.Text, "no no") || len(a.Text) > 5000 {
		t.Fatalf("attempt %+v", a)
	}
	if e := s.last("r", "attempt"); e.Attempt != 2 || e.Error == "" {
		t.Fatalf("entry %+v", e)
	}
	s.advance(time.Hour)
	s.wantTimes("s/a", 3)
	s.wantRows(store.Attempt, 0)
	s.wantStatus("r", store.Finished)
}

// Clearing old attempts does not reset the count, which is in the message.
//
// R2
func TestClearedAttempts(t *testing.T) {
	s := newSim(t)
	s.on["s/a"] = func(*store.Message, *store.Run) deed { return again(time.Minute, "no") }
	s.start("r", "s/a")
	s.advance(10 * time.Minute)
	clear := &store.Changes{}
	for _, row := range s.rows(store.Attempt) {
		clear.DeleteRows = append(clear.DeleteRows, row.RowKey)
	}
	s.must(s.store.Commit(s.ctx(), store.Keys{}, func(*store.Snapshot) *store.Changes { return clear }))
	s.advance(time.Minute)
	if m := s.messages()[0]; m.Attempt != 12 || m.Tries != 12 {
		t.Fatalf("attempt %d, tries %d", m.Attempt, m.Tries)
	}
}

// Giving a message back is no attempt.
//
// R5
func TestYield(t *testing.T) {
	s := newSim(t)
	s.leaf("s/a")
	s.applied(begin("r", "s/a"))
	s.applied(&step.Outcome{Verb: step.Yield, Message: s.take()})
	if m := s.take(); m.Attempt != 0 {
		t.Fatal("counted as an attempt")
	} else {
		s.carryOut(m)
	}
	if n := len(s.history("r")); n != 2 {
		t.Fatalf("%d entries", n)
	}
}

// A message that failed for good is a dead letter: as it was, with its
// attempts and the reason. Its run stays open.
//
// R4
func TestDeadLetter(t *testing.T) {
	s := newSim(t)
	s.task("s/start", step.Send{Task: "s/a", Payload: []byte("p"), Meta: map[string]string{"k": "v"}, Priority: 3})
	s.on["s/a"] = func(m *store.Message, _ *store.Run) deed {
		if m.Attempt == 0 {
			return again(time.Second, "first")
		}
		return broken("second")
	}
	s.start("r", "s/start")
	s.advance(time.Minute)
	_, row := s.dead()
	m := row.Message
	if string(m.Payload) != "p" || m.Meta["k"] != "v" || m.Priority != 3 || m.Tries != 2 || m.Worker != 0 || row.Reason != "second" || !row.Open {
		t.Fatalf("dead letter %+v", row)
	}
	if r := s.run("r"); r.Status != store.Running || r.Dead != 1 || r.Open != 1 {
		t.Fatalf("run %+v", r)
	}
	s.wantRows(store.Attempt, 2)
}

// A dead letter that is sent again keeps its id and attempts and starts its
// count anew; what was edited is kept beside it, and in the history.
//
// R4, R1
func TestRequeue(t *testing.T) {
	s := newSim(t)
	s.on["s/a"] = func(m *store.Message, _ *store.Run) deed {
		if string(m.Payload) != "good" {
			return broken("bad payload")
		}
		return do()
	}
	s.applied(&step.Outcome{Verb: step.Begin, Start: &step.Start{RunID: "r", Task: "s/a", Input: []byte("bad")}})
	s.drain()
	seq, row := s.dead()
	good := []byte("good")
	at := s.clock.Instant().Add(time.Hour)
	v := s.applied(&step.Outcome{Verb: step.Requeue, Dead: &step.DeadOp{Seq: seq, Payload: &good, At: at}})
	if v.Message.ID != row.Message.ID || v.Message.Attempt != 0 || v.Message.Tries != 1 {
		t.Fatalf("sent again: %+v", v.Message)
	}
	edits := s.rows(store.Edit)
	if len(edits) != 1 || string(decoded[step.EditRow](s, edits[0]).Payload) != "bad" {
		t.Fatalf("edits %v", edits)
	}
	if e := s.last("r", "requeued"); len(e.Records) != 1 || string(e.Records[0].Data) != "bad" {
		t.Fatalf("entry %+v", e)
	}
	s.drain()
	s.wantTimes("s/a", 1)
	s.advance(time.Hour)
	s.wantTimes("s/a", 2)
	s.wantStatus("r", store.Finished)
	s.wantRows(store.Attempt, 0)
	s.wantRows(store.Edit, 0)
	if v := s.commit(&step.Outcome{Verb: step.Requeue, Dead: &step.DeadOp{Seq: seq}}); v.Code != step.Missing {
		t.Fatalf("sent again twice: %s", v.Code)
	}
}

// A dead letter that is given up leaves its run, which goes on without it.
//
// R4, M9
func TestDiscard(t *testing.T) {
	s := newSim(t)
	s.on["s/a"] = func(*store.Message, *store.Run) deed { return broken("no") }
	s.start("r", "s/a")
	seq, _ := s.dead()
	s.applied(&step.Outcome{Verb: step.Discard, Dead: &step.DeadOp{Seq: seq, Reason: "too old"}})
	s.wantStatus("r", store.Finished)
	s.wantRows(store.Dead, 0)
	s.wantRows(store.Attempt, 0)
	if e := s.last("r", "discarded"); e.Error != "too old" {
		t.Fatalf("entry %+v", e)
	}
	if v := s.commit(&step.Outcome{Verb: step.Discard, Dead: &step.DeadOp{Seq: seq}}); v.Code != step.Missing {
		t.Fatalf("again: %s", v.Code)
	}
	if c := s.counters(); c.Dead != 0 || c.Cancelled != 1 {
		t.Fatalf("counters %+v", c)
	}
}

// The letter of a fork's child has left its run; sent again, it is a step of
// the run as any other.
//
// R4, F9
func TestRequeueOfAForksChild(t *testing.T) {
	s := newSim(t)
	f := forkOf(1, "s/child")
	s.task("s/start", f, step.Join{Rule: joinsOfFork(), Fork: f, Then: send("s/then")}, step.Send{Task: "s/then", After: time.Hour})
	s.on["s/child"] = func(m *store.Message, _ *store.Run) deed {
		if m.Tries == 0 {
			return broken("no")
		}
		return do()
	}
	s.leaf("s/then")
	s.start("r", "s/start")
	s.wantTimes("s/then", 1)
	seq, _ := s.dead()
	s.applied(&step.Outcome{Verb: step.Requeue, Dead: &step.DeadOp{Seq: seq}})
	s.drain()
	s.wantTimes("s/child", 2)
	s.wantTimes("s/then", 1)
	s.advance(time.Hour)
	s.wantStatus("r", store.Finished)
}

// What a dead letter does to its run is the author's choice.
//
// R4, N3, C1
func TestOnDead(t *testing.T) {
	for choice, want := range map[step.OnDead]struct {
		status store.Status
		undone int
	}{
		step.LeaveOpen: {store.Running, 0}, step.FailRun: {store.Failed, 0}, step.Compensate: {store.Failed, 2},
	} {
		s := newSim(t)
		s.task("s/start", step.Undo{Send: send("s/undo")}, send("s/bad"), send("s/flight"), step.Send{Task: "s/later", After: time.Hour})
		s.on["s/bad"] = func(*store.Message, *store.Run) deed { return broken("no") }
		s.task("s/flight", step.Undo{Send: send("s/undo")}, send("s/later"))
		s.leaf("s/undo")
		s.applied(&step.Outcome{Verb: step.Begin, Start: &step.Start{RunID: "r", Task: "s/start", OnDead: choice}})
		s.carryOut(s.take())
		got := s.grab(2)
		flight := s.handle(got[1], nil)
		s.carryOut(got[0])
		if choice == step.LeaveOpen {
			s.wantStatus("r", want.status)
			continue
		}
		s.applied(flight)
		s.drain()
		s.wantStatus("r", want.status)
		s.wantTimes("s/undo", want.undone)
		if r := s.run("r"); !strings.Contains(r.Error, "s/bad is a dead letter: no") {
			t.Errorf("error %q", r.Error)
		}
		if v := s.commit(&step.Outcome{Verb: step.Requeue, Dead: &step.DeadOp{Seq: got[0].Seq}}); v.Code != step.Invalid {
			t.Errorf("dead letter of a failed run is sent again: %s", v.Code)
		}
		s.applied(&step.Outcome{Verb: step.Discard, Dead: &step.DeadOp{Seq: got[0].Seq}})
	}
}

// A dead letter that its run was left open for does not keep it from failing,
// being cancelled or finishing.
//
// R4, N1, N3, C1
func TestEndOfARunWithADeadLetter(t *testing.T) {
	for want, end := range map[store.Status]func(s *sim){
		store.Cancelled: func(s *sim) {
			s.applied(&step.Outcome{Verb: step.Abort, Abort: &step.AbortOp{RunID: "r", Cancel: true, Reason: "stop"}})
		},
		store.Failed: func(s *sim) {
			s.task("s/end", step.Fail{Reason: "stop"})
			s.advance(time.Hour)
		},
		store.Finished: func(s *sim) {
			s.task("s/end", step.Finish{})
			s.advance(time.Hour)
		},
	} {
		s := newSim(t)
		s.task("s/start", step.Undo{Send: send("s/undo")}, send("s/bad"), step.Send{Task: "s/end", After: time.Hour})
		s.on["s/bad"] = func(*store.Message, *store.Run) deed { return broken("no") }
		s.leaf("s/undo")
		s.start("r", "s/start")
		end(s)
		s.drain()
		s.wantStatus("r", want)
		if (s.times("s/undo") == 1) != (want != store.Finished) {
			t.Errorf("%s: %d undos", want, s.times("s/undo"))
		}
		if r := s.run("r"); r.Open != 0 || r.Dead != 0 {
			t.Errorf("%s: open %d, dead %d", want, r.Open, r.Dead)
		}
		seq, _ := s.dead()
		s.applied(&step.Outcome{Verb: step.Discard, Dead: &step.DeadOp{Seq: seq}})
	}
}

// A dead letter whose run was purged can be discarded only.
//
// R4, H4
func TestDeadLetterOfAPurgedRun(t *testing.T) {
	s := newSim(t)
	s.on["s/bad"] = func(*store.Message, *store.Run) deed { return broken("no") }
	s.applied(&step.Outcome{Verb: step.Begin, Start: &step.Start{RunID: "r", Task: "s/bad", OnDead: step.FailRun}})
	s.drain()
	s.clock.Advance(time.Hour)
	_, err := s.store.Purge(s.ctx(), store.Purge{EndedBefore: s.clock.Instant(), Limit: 9})
	s.must(err)
	seq, _ := s.dead()
	if v := s.commit(&step.Outcome{Verb: step.Requeue, Dead: &step.DeadOp{Seq: seq}}); v.Code != step.Invalid {
		t.Fatalf("sent again: %s", v.Code)
	}
	s.applied(&step.Outcome{Verb: step.Discard, Dead: &step.DeadOp{Seq: seq}})
}
