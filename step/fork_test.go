package step_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace-go/millrace/joins"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

func joinsOfFork() joins.Rule { return joins.Rule{Mode: joins.Fork} }

func forkOf(n int, task string) *step.Fork {
	f := &step.Fork{}
	for i := range n {
		f.Sends = append(f.Sends, send(task, byte(i)))
	}
	return f
}

// results reads what a fork's children returned.
func (s *sim) results(owner string) string {
	s.t.Helper()
	var all []string
	for _, row := range s.rows(store.Result) {
		if row.Owner == owner {
			i, _ := store.ParseNum(row.Name)
			r := decoded[step.ResultRow](s, row)
			all = append(all, fmt.Sprintf("%d:%s%s", i, r.Data, r.Error))
		}
	}
	return fmt.Sprint(all)
}

// A join over a fork fires when every child has its outcome; the joined task
// gets the counts, and finds the results. A dead child counts as failed.
//
// F9, F1, R4
func TestJoinOverAFork(t *testing.T) {
	s := newSim(t)
	f := forkOf(4, "s/child")
	s.task("s/start", f, step.Join{Rule: joinsOfFork(), Fork: f, Then: send("s/then", 'd')})
	s.on["s/child"] = func(m *store.Message, _ *store.Run) deed {
		if m.Payload[0] == 2 {
			return broken("two")
		}
		return do(step.Return{Data: []byte{'a' + m.Payload[0]}})
	}
	s.leaf("s/then")
	s.start("r", "s/start")
	res := s.joined("s/then")
	if res.Total != 4 || res.Done != 3 || res.Failed != 1 || string(res.Data) != "d" {
		t.Fatalf("joined task got %+v", res)
	}
	if got := s.results(res.Owner); got != "[0:a 1:b 2:two 3:d]" {
		t.Fatal(got)
	}
	s.wantStatus("r", store.Finished)
}

// A join over a fork may fire early, once so many children failed. What the
// others return then changes nothing.
//
// F9, F6
func TestMaxFailed(t *testing.T) {
	s := newSim(t)
	f := forkOf(5, "s/child")
	s.task("s/start", f, step.Join{Name: "j", Rule: joins.Rule{Mode: joins.Fork, MaxFailed: 2}, Fork: f, Then: send("s/then")})
	s.on["s/child"] = func(m *store.Message, _ *store.Run) deed {
		if m.Payload[0] < 3 {
			return broken("no")
		}
		return do()
	}
	s.leaf("s/then")
	s.start("r", "s/start")
	if res := s.joined("s/then"); res.Failed != 2 || res.Done != 0 || res.Total != 5 {
		t.Fatalf("joined task got %+v", res)
	}
	s.wantStatus("r", store.Finished)
	if n := len(s.rows(store.Dead)); n != 3 {
		t.Fatalf("%d dead letters", n)
	}
}

// A fork without children joins at once, and one without join needs none.
//
// F9
func TestEmptyFork(t *testing.T) {
	s := newSim(t)
	f := &step.Fork{}
	s.task("s/start", f, forkOf(2, "s/then"), step.Join{Rule: joinsOfFork(), Fork: f, Then: send("s/then")})
	s.leaf("s/then")
	s.start("r", "s/start")
	s.wantTimes("s/then", 3)
	s.wantStatus("r", store.Finished)
}

// Children of a fork whose join has ended are none of the next join's of the
// same name.
//
// F9, F2
func TestChildrenOfAnOlderFork(t *testing.T) {
	s := newSim(t)
	first, second := &step.Fork{Sends: []step.Send{{Task: "s/slow", After: time.Hour}}}, forkOf(1, "s/never")
	second.Sends[0].After = 2 * time.Hour
	s.task("s/start", first, step.Join{Name: "j", Rule: joinsOfFork(), Fork: first, Then: send("s/then")}, send("s/again"))
	s.task("s/again", step.Cancel{Name: "j"}, second, step.Join{Name: "j", Rule: joinsOfFork(), Fork: second, Then: send("s/then")})
	s.task("s/slow", step.Return{Data: []byte("old")})
	s.leaf("s/never", "s/then")
	s.start("r", "s/start")
	s.advance(time.Hour)
	s.wantTimes("s/slow", 1)
	s.wantTimes("s/then", 0)
	s.advance(time.Hour)
	if res := s.joined("s/then"); s.results(res.Owner) != "[]" || res.Done != 1 {
		t.Fatalf("joined task got %+v, results %s", res, s.results(res.Owner))
	}
}

// What contradicts itself is refused as a whole.
//
// F1, M6
func TestInvalidForks(t *testing.T) {
	f := forkOf(1, "s/a")
	over := step.Join{Rule: joinsOfFork(), Fork: f, Then: send("s/a")}
	scoped := over
	scoped.Scope = "w"
	for name, ds := range map[string][]step.Decision{
		"fork of another step": {over},
		"two joins":            {f, over, over},
		"twice":                {f, f},
		"wider scope":          {f, scoped},
		"name is taken":        {send("s/a"), step.Send{Task: "s/a", Name: "n"}, step.Join{Name: "n", Rule: all("e"), Then: send("s/a")}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			s.task("s/start", ds...)
			s.applied(begin("r", "s/start"))
			m := s.take()
			if v := s.commit(s.handle(m, nil)); v.Code != step.Invalid || v.Err == nil {
				t.Fatalf("%s (%v)", v.Code, v.Err)
			}
			if n := len(s.messages()); n != 1 {
				t.Fatalf("%d messages", n)
			}
		})
	}
}

// stage puts chunks of n sends aside, as an execution of m would.
func (s *sim) stage(m *store.Message, chunks, n int, task string) (*store.Message, *step.Fork) {
	s.t.Helper()
	f := &step.Fork{Chunks: chunks, Staged: chunks * n}
	for i := range chunks {
		v := s.applied(&step.Outcome{Verb: step.Stage, Message: m, Chunk: i, Sends: forkOf(n, task).Sends})
		m = v.Message
	}
	return m, f
}

// A large fork is staged in chunks that nobody sees, and handed out chunk by
// chunk after the step's commit, each child once, also when workers crash.
//
// F9, F1, M4
func TestStagedFork(t *testing.T) {
	s := newSim(t)
	s.task("s/start")
	s.task("s/child", step.Return{Data: []byte("x")})
	s.leaf("s/then")
	s.applied(begin("r", "s/start"))
	m, f := s.stage(s.take(), 3, 4, "s/child")
	f.Sends = forkOf(2, "s/child").Sends
	if n := len(s.messages()); n != 1 {
		t.Fatalf("%d messages before the step's commit", n)
	}
	s.applied(&step.Outcome{Verb: step.Done, Message: m, Decisions: []step.Decision{
		f, step.Join{Rule: joinsOfFork(), Fork: f, Then: send("s/then")},
	}})
	for got := s.grab(1); len(got) > 0; got = s.grab(1) {
		if got[0].Kind == store.Release {
			s.crash()
			s.wantTimes("s/then", 0)
			s.carryOut(s.messageOf(got[0].Seq))
			continue
		}
		s.carryOut(got[0])
	}
	res := s.joined("s/then")
	if res.Total != 14 || res.Done != 14 {
		t.Fatalf("joined task got %+v", res)
	}
	ids := map[string]bool{}
	for _, m := range s.got["s/child"] {
		ids[m.ID] = true
	}
	if len(ids) != 14 {
		t.Fatalf("%d different children", len(ids))
	}
	s.wantRows(store.Chunk, 0)
	s.wantStatus("r", store.Finished)
}

// messageOf grabs a message by its seq.
func (s *sim) messageOf(seq int64) *store.Message {
	s.t.Helper()
	g, err := s.store.Grab(s.ctx(), store.Grab{Worker: s.worker, Seqs: []int64{seq}, Limit: 1})
	s.must(err)
	if len(g.Messages) != 1 {
		s.t.Fatalf("message %d is not to be had", seq)
	}
	return g.Messages[0]
}

// The commit that hands out a chunk is repeated, since its answer was lost:
// its children are there once, and the next chunk is not skipped.
//
// F9, M2
func TestRepeatedRelease(t *testing.T) {
	s := newSim(t)
	s.env.Room = map[string]int{store.Internal: 100}
	s.leaf("s/start", "s/child")
	s.applied(begin("r", "s/start"))
	m, f := s.stage(s.take(), 3, 2, "s/child")
	res := s.commitAs(s.worker, &step.Outcome{Verb: step.Done, Message: m, Decisions: []step.Decision{f}})
	for len(res.Held) > 0 {
		release := &step.Outcome{Verb: step.Internal, Message: res.Held[0]}
		res = s.commitAs(s.worker, release)
		if again := s.commitAs(s.worker, release); again.Verdicts[0].Code != step.Duplicate {
			t.Fatalf("repeated release: %s", again.Verdicts[0].Code)
		}
	}
	s.drain()
	s.wantTimes("s/child", 6)
	s.wantStatus("r", store.Finished)
}

// Whatever becomes of the execution that staged chunks, none stays behind.
//
// F9, M5, H4
func TestStagedChunksAreDropped(t *testing.T) {
	ends := map[string]func(s *sim, m *store.Message){
		"used by nobody": func(s *sim, m *store.Message) { s.applied(&step.Outcome{Verb: step.Done, Message: m}) },
		"partly used": func(s *sim, m *store.Message) {
			f := &step.Fork{First: 1, Chunks: 1, Staged: 2}
			s.applied(&step.Outcome{Verb: step.Done, Message: m, Decisions: []step.Decision{f}})
		},
		"failed": func(s *sim, m *store.Message) { s.applied(&step.Outcome{Verb: step.Retry, Message: m}) },
		"dead":   func(s *sim, m *store.Message) { s.applied(&step.Outcome{Verb: step.Reject, Message: m}) },
		"crashed, then done": func(s *sim, m *store.Message) {
			s.crash()
			s.carryOut(s.take())
		},
		"crashed, then its run is cancelled": func(s *sim, m *store.Message) {
			s.crash()
			s.applied(&step.Outcome{Verb: step.Abort, Abort: &step.AbortOp{RunID: "r", Cancel: true}})
		},
		"run was cancelled meanwhile": func(s *sim, m *store.Message) {
			s.applied(&step.Outcome{Verb: step.Abort, Abort: &step.AbortOp{RunID: "r", Cancel: true}})
			s.applied(&step.Outcome{Verb: step.Done, Message: m, Decisions: []step.Decision{&step.Fork{Chunks: 3, Staged: 6}}})
		},
		"released after the run was cancelled": func(s *sim, m *store.Message) {
			s.applied(&step.Outcome{Verb: step.Done, Message: m, Decisions: []step.Decision{&step.Fork{Chunks: 3, Staged: 6}}})
			s.applied(&step.Outcome{Verb: step.Abort, Abort: &step.AbortOp{RunID: "r", Cancel: true}})
			s.drain()
			s.wantTimes("s/child", 0)
		},
		"readdressed after a crash": func(s *sim, m *store.Message) {
			s.crash()
			s.applied(&step.Outcome{Verb: step.Readdress, Message: s.take(), Saga: "saga", Key: "saga/1"})
			s.keyed["s/start"] = keyed{saga: "saga", key: "saga/1", starts: true}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			s.leaf("s/start", "s/child")
			s.applied(begin("r", "s/start"))
			m, _ := s.stage(s.take(), 3, 2, "s/child")
			end(s, m)
			s.drain()
			s.wantRows(store.Chunk, 0)
		})
	}
}

// A fork of 100,000 children is all there, in bounded commits.
//
// F9, L6
func TestHugeFork(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	s := newSim(t)
	s.quiet = true
	s.leaf("s/start", "s/child", "s/then")
	s.applied(begin("r", "s/start"))
	m, f := s.stage(s.take(), 100, 1000, "s/child")
	s.applied(&step.Outcome{Verb: step.Done, Message: m, Decisions: []step.Decision{
		f, step.Join{Rule: joinsOfFork(), Fork: f, Then: send("s/then")},
	}})
	for s.times("s/then") == 0 {
		var batch []*step.Outcome
		for _, m := range s.grab(500) {
			o := &step.Outcome{Verb: step.Internal, Message: m}
			if m.Kind == store.Task {
				o = s.handle(m, nil)
			}
			batch = append(batch, o)
		}
		if len(batch) == 0 {
			t.Fatal("the join did not fire")
		}
		s.commitAs(s.worker, batch...)
	}
	if res := s.joined("s/then"); res.Done != 100_000 {
		t.Fatalf("joined task got %+v", res)
	}
	s.wantStatus("r", store.Finished)
}
