package step_test

import (
	"testing"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

const firstAgain = store.Instant(5e6)

// brokered is a world whose messages travel through a broker; topic s has its
// handlers on this store.
func brokered(t *testing.T) *sim {
	s := newSim(t)
	s.env.Retention = 3600e6
	s.env.Broker = &step.Broker{Others: 10, Again: firstAgain, Served: map[string]bool{"s": true}}
	return s
}

// open returns the one message that is there.
func (s *sim) open() *store.Message {
	s.t.Helper()
	ms := s.messages()
	if len(ms) != 1 {
		s.t.Fatalf("%d messages are there, want 1", len(ms))
	}
	return ms[0]
}

func (s *sim) holds(ok bool, what string) {
	s.t.Helper()
	if !ok {
		s.t.Fatal(what)
	}
}

// M4, M11
func TestDueMessagesAreBornPublished(t *testing.T) {
	s := brokered(t)
	res := s.commitAs(s.worker, begin("r", "s/t"))
	m := s.open()
	s.holds(len(res.Published) == 1 && res.Published[0].Seq == m.Seq, "it is published")
	s.holds(m.Published == 1 && m.Worker == 0 && m.Due == s.clock.Instant()+firstAgain, "it is free, and due again later")
	s.holds(!m.Lent, "its handlers are on this store")
	s.task("s/t")
	s.holds(len(s.grab(1)) == 0, "a grab does not take it before")
	g, err := s.store.Grab(s.ctx(), store.Grab{Worker: s.worker, Seqs: []int64{m.Seq}, Limit: 1})
	s.must(err)
	s.holds(len(g.Messages) == 1, "a claim does")
	v := s.applied(&step.Outcome{Verb: step.Retry, Message: g.Messages[0], Delay: time.Minute})
	s.holds(v.Code == step.Applied, "it failed")
	m = s.open()
	s.holds(m.Published == 0 && m.Tries == 1, "what waits for its retry is not published")
	g, err = s.store.Grab(s.ctx(), store.Grab{Worker: s.worker, Seqs: []int64{m.Seq}, Limit: 1}) // M3
	s.must(err)
	s.holds(len(g.Messages) == 0, "nor is it to be claimed early")
}

// T1
func TestWhatIsNotDueDoesNotTravel(t *testing.T) {
	s := brokered(t)
	start := begin("r", "s/t")
	start.Start.At = s.clock.Instant() + 60e6
	res := s.commitAs(s.worker, start)
	s.holds(len(res.Published) == 0 && s.open().Published == 0, "not yet")
}

// L6
func TestWindowBoundsWhatIsPublished(t *testing.T) {
	s := brokered(t)
	s.env.Broker.Room = map[string]int{"s": 2}
	var sends []step.Send
	for range 5 {
		sends = append(sends, send("s/t"))
	}
	res := s.commitAs(s.worker, &step.Outcome{Verb: step.Insert, Sends: sends, Source: &step.Source{Consumer: "c", ID: "1"}})
	s.holds(len(res.Published) == 2 && len(res.Free) == 3, "two are published, the others wait")
}

// Each time a message goes again it waits twice as long, up to an hour.
func TestPublishAgain(t *testing.T) {
	s := brokered(t)
	s.commitAs(s.worker, begin("r", "far/t"))
	s.on["far/t"] = nil
	want := firstAgain
	for n := 2; n < 40; n++ {
		s.clock.Advance(2 * time.Hour)
		m := s.take()
		res := s.commitAs(s.worker, &step.Outcome{Verb: step.Publish, Message: m})
		s.holds(len(res.Published) == 1, "it goes again")
		want = min(2*want, 3600e6)
		m = s.open()
		s.holds(m.Published == n && m.Lent && m.Worker == 0, "it is free")
		s.holds(m.Due == s.clock.Instant()+want, "it waits longer")
	}
}

// What was sent out whole may have been begun: it is not dropped with its run.
//
// C1, N1, N3
func TestRunEndsWhileAStepIsLent(t *testing.T) {
	s := brokered(t)
	s.commitAs(s.worker, begin("r", "far/t"))
	s.applied(&step.Outcome{Verb: step.Abort, Abort: &step.AbortOp{RunID: "r", Cancel: true}})
	s.wantStatus("r", store.Failing)
	g, err := s.store.Grab(s.ctx(), store.Grab{Worker: s.worker, Seqs: []int64{s.open().Seq}, Limit: 1})
	s.must(err)
	s.applied(&step.Outcome{Verb: step.Done, Message: g.Messages[0], Decisions: []step.Decision{
		step.Undo{Send: send("s/undo")}, send("s/t"),
	}})
	s.wantStatus("r", store.Failing)
	s.holds(s.open().Task == "s/undo", "the undo counts, and nothing else")
}

// What waits for its key here is nowhere else, and goes with its run.
//
// C2, N1
func TestRunEndsWhileALentMessageWaitsForItsKey(t *testing.T) {
	s := brokered(t)
	s.task("s/begin", step.Send{Task: "far/t", Key: "k"}, step.Send{Task: "far/t", Key: "k"})
	s.env.Broker.Served["s"] = false
	s.env.Broker.Room = map[string]int{"s": 0}
	s.start("r", "s/begin")
	var seqs []int64
	for _, m := range s.messages() {
		s.holds(m.Lent, "it is lent")
		seqs = append(seqs, m.Seq)
	}
	g, err := s.store.Grab(s.ctx(), store.Grab{Worker: s.worker, Seqs: seqs, Limit: 2})
	s.must(err)
	for i, want := range []step.Code{step.Applied, step.Blocked} {
		v := s.commit(&step.Outcome{Verb: step.Admit, Message: g.Messages[i], Key: "k"})
		s.holds(v.Code == want, "one has the key, one waits")
	}
	s.applied(&step.Outcome{Verb: step.Abort, Abort: &step.AbortOp{RunID: "r"}})
	s.holds(s.open().Held(), "who has the key ends, and who waits is gone")
	s.applied(&step.Outcome{Verb: step.Done, Message: g.Messages[0]})
	s.wantStatus("r", store.Failed)
}

// A large run whose steps are all lent does not keep the sweep busy.
//
// N1
func TestSweepLooksBehindWhatIsLent(t *testing.T) {
	s := brokered(t)
	s.quiet = true
	s.env.Broker.Others = 1000
	s.env.Room = map[string]int{store.Internal: 10}
	f := &step.Fork{}
	for range 600 {
		f.Sends = append(f.Sends, send("far/t"))
	}
	s.env.Broker.Room = map[string]int{"s": 0}
	s.task("s/begin", f)
	s.start("r", "s/begin")
	s.holds(len(s.messages()) == 600, "all are lent")
	s.applied(&step.Outcome{Verb: step.Abort, Abort: &step.AbortOp{RunID: "r"}})
	s.drain()
	for _, m := range s.messages() {
		s.holds(m.Kind == store.Task && m.Lent, "no sweep is left")
	}
}

// What a step sends and its own end takes back never goes out.
//
// M4, N1
func TestWhatIsDroppedInItsOwnCommitIsNotPublished(t *testing.T) {
	s := brokered(t)
	s.commitAs(s.worker, begin("r", "s/t"))
	s.task("s/t")
	g, err := s.store.Grab(s.ctx(), store.Grab{Worker: s.worker, Seqs: []int64{s.open().Seq}, Limit: 1})
	s.must(err)
	res := s.commitAs(s.worker, &step.Outcome{Verb: step.Done, Message: g.Messages[0], Decisions: []step.Decision{
		send("far/t"), send("s/t"), step.Fail{Reason: "no"},
	}})
	s.holds(len(res.Published) == 0 && len(s.messages()) == 0, "nothing goes out")
	s.wantStatus("r", store.Failed)
}

func fromHome(failure *step.Failure, sends ...step.Send) *step.Outcome {
	home := &step.Home{Store: "h", Seq: 7, ID: "id", RunID: "run"}
	return &step.Outcome{Verb: step.Insert, Sends: sends, Failure: failure, Source: step.HomeSource(home)}
}

// outcome returns the one outcome that is on its way home, and ends it.
func (s *sim) outcome() (h step.Homeward) {
	s.t.Helper()
	m := s.open()
	if m.Topic != step.HomeTopic("h") {
		s.t.Fatalf("%s is on its way, and not home", m.Topic)
	}
	s.must(h.Unmarshal(m.Payload))
	s.on[m.Topic+"/"] = nil
	s.applied(&step.Outcome{Verb: step.Done, Message: s.take()})
	delete(s.on, m.Topic+"/")
	return h
}

// M2, M3, M11
func TestOutcomeOfAnotherStoresMessage(t *testing.T) {
	s := brokered(t)
	s.task("s/t", send("far/next", 1))
	s.applied(fromHome(nil, send("s/t")))
	s.holds(s.open().Published == 0, "it does not go back to the broker")
	s.holds(s.commit(fromHome(nil, send("s/t"))).Code == step.Existed, "a second copy is none")
	s.drain()
	s.wantTimes("s/t", 1)
	h := s.outcome()
	s.holds(h.Seq == 7 && h.ID == "id" && h.Failure == nil && len(h.Decisions) == 1, "it says what the step decided")
	for range 3 { // home asks again, for longer than anything is remembered
		s.clock.Advance(90 * time.Minute)
		_, err := s.store.Purge(s.ctx(), store.Purge{Limit: 100})
		s.must(err)
		s.holds(s.commit(fromHome(nil, send("s/t"))).Code == step.Existed, "it is known")
		s.holds(len(s.outcome().Decisions) == 1, "it is answered again")
	}
	s.wantTimes("s/t", 1)
}

// M7, R4
func TestAnotherStoresMessageThatIsRefused(t *testing.T) {
	s := brokered(t)
	s.applied(fromHome(&step.Failure{Text: "too large"}))
	h := s.outcome()
	s.holds(h.Failure != nil && h.Failure.Text == "on here: too large", "home is told why")
}
