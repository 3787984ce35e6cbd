package step_test

import (
	"testing"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

// Ids begin with their run's time, are at most 36 characters long, derived,
// and different for each thing that a step brings forth.
//
// M1
func TestIDsAreDerived(t *testing.T) {
	ids := map[string]bool{}
	for range 2 { // a second world gives the same ids
		s := newSim(t)
		s.task("s/start", send("s/a"), emit("x"), send("s/a"),
			step.Join{Rule: all("x"), Then: send("s/a")}, step.Undo{Send: send("s/a")})
		s.leaf("s/a")
		s.start("a run's id, however long it is, even as long as this one is", "s/start")
		root := s.got["s/start"][0].ID
		for _, m := range append(s.got["s/a"], s.got["s/start"]...) {
			ids[m.ID] = true
			if len(m.ID) > 36 || m.ID[:10] != root[:10] {
				t.Errorf("id %q, of a run that began with %q", m.ID, root)
			}
		}
	}
	if len(ids) != 4 {
		t.Errorf("%d ids, want 4: %v", len(ids), ids)
	}
}

func TestIDsSortByTime(t *testing.T) {
	// M1
	var last string
	for ms := range store.Instant(5000) {
		at := ms * 86_400_000_000
		id := step.RootID("x", at)
		if id <= last && ms > 0 && id[:10] <= last[:10] {
			t.Fatalf("%s at %d follows %s", id, at, last)
		}
		if made := step.NewID(at); len(made) != 32 || made[:10] != id[:10] {
			t.Fatalf("made %q beside %q", made, id)
		}
		last = id
	}
	if a, b := step.ChildID("x", 1), step.ChildID("x", 1); a != b || a == step.ChildID("x", 2) || a == step.ChildID("y", 1) {
		t.Fatal("ids of children are not derived")
	}
}

// Starting twice is one run: the same caller's retry is told that it started
// it, another's that it was there; with another task or input it is an error.
//
// M1
func TestStartTwice(t *testing.T) {
	start := func(task, input, nonce string) *step.Outcome {
		return &step.Outcome{Verb: step.Begin, Start: &step.Start{RunID: "r", Task: task, Input: []byte(input), Nonce: nonce}}
	}
	for _, oneBatch := range []bool{false, true} {
		s := newSim(t)
		s.leaf("s/a", "s/b")
		outs := []*step.Outcome{start("s/a", "x", "1"), start("s/a", "x", "1"), start("s/a", "x", "2"), start("s/a", "y", "1"), start("s/b", "x", "1")}
		var verdicts []step.Verdict
		if oneBatch {
			verdicts = s.commitAs(s.worker, outs...).Verdicts
		} else {
			for _, o := range outs {
				verdicts = append(verdicts, s.commit(o))
			}
		}
		for i, want := range []step.Code{step.Applied, step.Applied, step.Existed, step.Conflict, step.Conflict} {
			if verdicts[i].Code != want || verdicts[i].Run == nil || verdicts[i].Run.ID != "r" {
				t.Errorf("start %d: %s, want %s with the run", i, verdicts[i].Code, want)
			}
		}
		s.drain()
		s.wantRan("s/a")
		if v := s.commit(start("s/a", "x", "1")); v.Code != step.Applied || v.Run.Status != store.Finished {
			t.Errorf("start of a run that has finished: %s", v.Code)
		}
		s.drain()
		s.wantRan("s/a")
	}
}

// A run can be started for later.
//
// T1
func TestStartLater(t *testing.T) {
	s := newSim(t)
	s.leaf("s/a")
	s.applied(&step.Outcome{Verb: step.Begin, Start: &step.Start{RunID: "r", Task: "s/a", At: s.clock.Instant().Add(time.Hour)}})
	s.advance(time.Hour - 1000)
	s.wantRan()
	s.advance(time.Second)
	s.wantRan("s/a")
}

// A message from outside is taken in once.
//
// M2, L4
func TestInsertOnce(t *testing.T) {
	s := newSim(t)
	s.leaf("s/job")
	insert := &step.Outcome{
		Verb: step.Insert, Sends: []step.Send{send("s/job", 1), send("s/job", 2)},
		Source: &step.Source{Consumer: "c", ID: "i", Retention: time.Hour},
	}
	s.applied(insert)
	s.drain()
	if v := s.commit(insert); v.Code != step.Existed {
		t.Fatalf("again: %s", v.Code)
	}
	s.drain()
	s.wantTimes("s/job", 2)
	if a, b := s.got["s/job"][0], s.got["s/job"][1]; a.ID == b.ID || a.Run != 0 || len(a.ID) > 36 {
		t.Fatalf("messages %+v, %+v", a, b)
	}
	s.clock.Advance(2 * time.Hour)
	_, err := s.store.Purge(s.ctx(), store.Purge{Limit: 100})
	s.must(err)
	s.wantRows(store.Inbox, 0)
}

// Who takes a message in from a broker runs it: it is born held.
//
// L4, M5
func TestInsertHeld(t *testing.T) {
	s := newSim(t)
	s.leaf("s/job")
	s.env.Room = map[string]int{"s": 1}
	insert := &step.Outcome{
		Verb: step.Insert, Sends: []step.Send{send("s/job")},
		Source: &step.Source{Consumer: "c", ID: "i", Retention: time.Hour, Held: true},
	}
	res := s.commitAs(s.worker, insert)
	m := res.Verdicts[0].Message
	if m == nil || m.Worker != s.worker || len(res.Held) != 0 || len(res.Free) != 0 {
		t.Fatalf("verdict %+v, held %v, free %v", res.Verdicts[0], res.Held, res.Free)
	}
	s.carryOut(m)
	s.wantRan("s/job")
	old := s.worker
	s.crash()
	insert.Source = &step.Source{Consumer: "c", ID: "k", Held: true}
	if v := s.commitAs(old, insert).Verdicts[0]; v.Code != step.LeaseLost {
		t.Fatalf("insertion by a closed worker: %s", v.Code)
	}
}

// A job outside any run has no run to decide about.
//
// M6, R6
func TestJobWithoutRun(t *testing.T) {
	s := newSim(t)
	s.task("s/job", send("s/next"), step.Reply{Topic: "answers", CorrelationID: "7", Data: []byte("ok")}, &step.Fork{Sends: []step.Send{send("s/next")}})
	s.leaf("s/next")
	s.task("s/bad", step.Finish{})
	s.applied(&step.Outcome{Verb: step.Insert, Sends: []step.Send{send("s/job"), send("s/bad")}, Source: &step.Source{Consumer: "c", ID: "i"}})
	var codes []step.Code
	for got := s.grab(1); len(got) > 0; got = s.grab(1) {
		codes = append(codes, s.carryOut(got[0]).Code)
		if got[0].Task == "s/bad" && codes[len(codes)-1] == step.Invalid {
			s.applied(&step.Outcome{Verb: step.Reject, Message: got[0]})
		}
	}
	s.wantTimes("s/next", 2)
	if seq, row := s.dead(); row.Message.Task != "s/bad" || row.Open {
		t.Fatalf("dead letter %d is %+v", seq, row)
	}
	left := s.messages()
	if len(left) != 1 || left[0].Topic != "answers" || left[0].Meta["correlation_id"] != "7" || left[0].Task != "" {
		t.Fatalf("reply: %+v", left)
	}
}
