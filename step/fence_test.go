package step_test

import (
	"testing"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

// The first outcome stored wins; a later one is discarded and counted, and
// its children are never there.
//
// M2, M3
func TestFirstOutcomeWins(t *testing.T) {
	for _, oneBatch := range []bool{false, true} {
		s := newSim(t)
		s.task("s/start", send("s/a"))
		s.leaf("s/a", "s/b")
		s.applied(begin("r", "s/start"))
		m := s.take()
		first := s.handle(m, nil)
		second := &step.Outcome{Verb: step.Done, Message: m, Decisions: []step.Decision{send("s/b")}}
		var v step.Verdict
		if oneBatch {
			v = s.commitAs(s.worker, first, second).Verdicts[1]
		} else {
			s.applied(first)
			v = s.commit(second)
		}
		if v.Code != step.Duplicate {
			t.Fatalf("second outcome: %s", v.Code)
		}
		s.drain()
		s.wantRan("s/start", "s/a")
		if n := s.counters().Duplicates; n != 1 {
			t.Fatalf("%d duplicates counted", n)
		}
	}
}

// A worker that was closed can do nothing to a message, whether it is free,
// another's, or ended.
//
// M5
func TestClosedWorkerIsFencedOff(t *testing.T) {
	verbs := []step.Verb{step.Done, step.Retry, step.Reject, step.Yield, step.Drop, step.Admit, step.Readdress, step.Stage}
	for _, verb := range verbs {
		t.Run(verb.String(), func(t *testing.T) {
			s := newSim(t)
			s.leaf("s/start", "s/a")
			s.applied(begin("r", "s/start"))
			m := s.take()
			old := s.worker
			late := &step.Outcome{
				Verb: verb, Message: m, Key: "k", Decisions: []step.Decision{send("s/a")}, Failure: &step.Failure{Text: "late"},
				Sends: []step.Send{send("s/a")},
			}
			s.crash()
			s.wantFenced(old, late, step.LeaseLost)
			now := s.take()
			s.wantFenced(old, late, step.LeaseLost)
			s.carryOut(now)
			s.wantFenced(old, late, step.Duplicate)
			s.wantStatus("r", store.Finished)
			s.wantTimes("s/a", 0)
		})
	}
}

// A worker that was closed can't end even a message that still says that it
// holds it; what it inserts is born free.
//
// M5
func TestClosedWorkerWhoseMessagesAreNotFreedYet(t *testing.T) {
	s := newSim(t)
	s.env.Room = map[string]int{"s": 9}
	s.leaf("s/start")
	s.applied(begin("r", "s/start"))
	m := s.messages()[0]
	_, err := s.store.Reap(s.ctx(), store.Reap{Workers: []int64{s.worker}})
	s.must(err)
	if now := s.messages()[0]; now.Worker != s.worker {
		t.Fatal("the message was freed")
	}
	s.wantFenced(s.worker, &step.Outcome{Verb: step.Done, Message: m}, step.LeaseLost)
	if res := s.commitAs(s.worker, begin("q", "s/start")); len(res.Held) != 0 {
		t.Fatal("born held by a closed worker")
	}
}

func (s *sim) wantFenced(worker int64, o *step.Outcome, want step.Code) {
	s.t.Helper()
	before := len(s.messages())
	if v := s.commitAs(worker, o).Verdicts[0]; v.Code != want {
		s.t.Fatalf("%s by a closed worker: %s, want %s", o.Verb, v.Code, want)
	}
	if len(s.messages()) != before {
		s.t.Fatalf("%s by a closed worker had an effect", o.Verb)
	}
	for _, kind := range []store.RowKind{store.Chunk, store.Attempt, store.Lock, store.Dead} {
		s.wantRows(kind, 0)
	}
}

// A worker that does not hold a message can't end it.
//
// M5, M3
func TestOtherWorkersMessage(t *testing.T) {
	s := newSim(t)
	s.leaf("s/start")
	s.applied(begin("r", "s/start"))
	m := s.take()
	other := s.newWorker()
	s.wantFenced(other, &step.Outcome{Verb: step.Done, Message: m}, step.LeaseLost)
}

// A commit whose answer was lost is repeated: nothing of it happens twice.
//
// M2, R1, R5
func TestRepeatedCommit(t *testing.T) {
	retry := func(s *sim, m *store.Message) *step.Outcome {
		return &step.Outcome{Verb: step.Retry, Message: m, Failure: &step.Failure{Text: "no"}}
	}
	for name, outcome := range map[string]func(*sim, *store.Message) *step.Outcome{
		"retry": retry,
		"done":  func(s *sim, m *store.Message) *step.Outcome { return s.handle(m, nil) },
		"reject": func(_ *sim, m *store.Message) *step.Outcome {
			return &step.Outcome{Verb: step.Reject, Message: m}
		},
		"stage": func(_ *sim, m *store.Message) *step.Outcome {
			return &step.Outcome{Verb: step.Stage, Message: m, Sends: []step.Send{send("s/a")}}
		},
		"saga": func(_ *sim, m *store.Message) *step.Outcome {
			return &step.Outcome{Verb: step.Admit, Message: m, Saga: "saga", Key: "saga/1", Starts: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			s.env.Room = map[string]int{"s": 100}
			s.task("s/start", send("s/a"))
			s.leaf("s/a")
			s.applied(&step.Outcome{Verb: step.Insert, Sends: []step.Send{send("s/start")}, Source: &step.Source{Consumer: "c", ID: "i"}})
			m := s.messages()[0]
			out := outcome(s, m)
			s.commit(out)
			messages, rows := len(s.messages()), s.allRows()
			s.clock.Advance(time.Second)
			s.commit(out)
			if len(s.messages()) != messages || s.allRows() != rows {
				t.Fatal("the repetition had an effect")
			}
			for _, r := range s.find(store.Query{Runs: &store.RunQuery{}}).Runs {
				if r.Open != 1 {
					t.Fatalf("run has %d open", r.Open)
				}
			}
		})
	}
}

// allRows is what there is but counters.
func (s *sim) allRows() (all string) {
	for kind := store.Page; kind <= store.Edit; kind++ {
		if kind == store.Counter {
			continue
		}
		for _, row := range s.rows(kind) {
			all += row.String() + "=" + string(row.Body) + "\n"
		}
	}
	return all
}

// An attempt whose commit is repeated while the message is with the same
// worker again is one attempt in the history.
//
// M2, R1
func TestRepeatedAttempt(t *testing.T) {
	s := newSim(t)
	s.env.Room = map[string]int{"s": 100}
	s.leaf("s/start")
	s.applied(begin("r", "s/start"))
	m := s.messages()[0]
	retry := &step.Outcome{Verb: step.Retry, Message: m, Failure: &step.Failure{Text: "no"}}
	s.applied(retry)
	if v := s.commit(retry); v.Code != step.Duplicate {
		t.Fatalf("repeated: %s", v.Code)
	}
	if n := len(s.history("r")); n != 2 {
		t.Fatalf("%d entries", n)
	}
}

// Children that the worker has room for are born held, and handed over; the
// others are free. None is handed over that the same commit took away again.
//
// M4, L6
func TestBornHeld(t *testing.T) {
	s := newSim(t)
	s.env.Room = map[string]int{"s": 2}
	s.task("s/start", send("s/a"), send("s/a"), send("s/a"), step.Send{Task: "s/a", After: time.Hour}, send("other/a"))
	s.applied(begin("r", "s/start"))
	res := s.commitAs(s.worker, s.handle(s.messages()[0], nil))
	if len(res.Held) != 2 || len(res.Free) != 3 {
		t.Fatalf("held %d, free %d", len(res.Held), len(res.Free))
	}
	for _, m := range res.Held {
		if m.Worker != s.worker {
			t.Fatal("not held")
		}
	}
	s.applied(begin("q", "s/start"))
	var out *step.Outcome
	for _, m := range s.messages() {
		if m.RunID == "q" {
			out = &step.Outcome{Verb: step.Done, Message: m, Decisions: []step.Decision{send("s/a"), step.Finish{}}}
		}
	}
	if res = s.commitAs(s.worker, out); len(res.Held) != 0 {
		t.Fatal("handed over what was taken away")
	}
	s.wantStatus("q", store.Finished)
}

// Poison in a batch does not take the others down, even those that clash only
// with what the poisoned outcome would have done.
//
// R6, M6
func TestPoisonInABatch(t *testing.T) {
	s := newSim(t)
	s.task("s/start", send("s/a"), send("s/b"), send("s/c"))
	s.task("s/a", step.Send{Task: "s/x", Name: "n", After: time.Hour}, step.Send{Task: "s/x", Name: "n", After: time.Hour})
	s.task("s/b", step.Send{Task: "s/x", Name: "n", After: time.Hour})
	s.task("s/c", send("s/x"))
	s.leaf("s/x")
	s.applied(begin("r", "s/start"))
	s.carryOut(s.take())
	var batch []*step.Outcome
	for _, m := range s.grab(9) {
		batch = append(batch, s.handle(m, nil))
	}
	res := s.commitAs(s.worker, batch...)
	for i, want := range []step.Code{step.Invalid, step.Applied, step.Applied} {
		if res.Verdicts[i].Code != want {
			t.Errorf("outcome %d: %s (%v), want %s", i, res.Verdicts[i].Code, res.Verdicts[i].Err, want)
		}
	}
	if res.Verdicts[0].Err == nil {
		t.Error("no reason is given")
	}
	s.applied(&step.Outcome{Verb: step.Reject, Message: batch[0].Message, Failure: &step.Failure{Text: "bad"}})
	s.advance(2 * time.Hour)
	s.wantTimes("s/x", 2)
}

// A damaged row spoils the outcome that needs it, and no other.
//
// R6, M6
func TestDamagedRowInABatch(t *testing.T) {
	s := newSim(t)
	s.task("s/start", step.Join{Name: "j", Rule: all("e"), Then: send("s/x")}, send("s/a"))
	s.task("s/a", emit("e"))
	s.leaf("s/x")
	s.applied(begin("bad", "s/start"))
	s.applied(begin("good", "s/start"))
	s.carryOut(s.grab(1)[0])
	s.carryOut(s.grab(1)[0])
	row := s.rows(store.Join)[0]
	sound := row.Body
	s.put(&store.Row{RowKey: row.RowKey, Body: []byte{0xff}})
	s.quiet = true
	var batch []*step.Outcome
	for _, m := range s.grab(9) {
		batch = append(batch, s.handle(m, nil))
	}
	res := s.commitAs(s.worker, batch...)
	if a, b := res.Verdicts[0], res.Verdicts[1]; a.Code != step.Invalid || b.Code != step.Applied {
		t.Fatalf("damaged %s, other %s", a.Code, b.Code)
	}
	s.put(&store.Row{RowKey: row.RowKey, Body: sound})
	s.quiet = false
	s.applied(batch[0])
	s.drain()
	s.wantTimes("s/x", 2)
}

// put writes a row behind the core's back.
func (s *sim) put(row *store.Row) {
	s.t.Helper()
	s.must(s.store.Commit(s.ctx(), store.Keys{}, func(*store.Snapshot) *store.Changes {
		return &store.Changes{PutRows: []*store.Row{row}}
	}))
}

// Counters that don't decode stop nobody's work.
//
// R6
func TestDamagedCounters(t *testing.T) {
	s := newSim(t)
	s.leaf("s/start")
	s.quiet = true
	s.applied(begin("r", "s/start"))
	row := s.rows(store.Counter)[0]
	sound := row.Body
	s.put(&store.Row{RowKey: row.RowKey, Body: []byte{0xff}})
	s.drain()
	s.wantStatus("r", store.Finished)
	var c step.CounterRow
	s.must(store.Unmarshal(sound, &c))
	c.Done++
	body, err := store.Marshal(&c)
	s.must(err)
	s.put(&store.Row{RowKey: row.RowKey, Body: body})
}
