package step_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

func keyedSend(task string) step.Send { return step.Send{Task: task, Key: "k"} }

func admit(m *store.Message) *step.Outcome {
	return &step.Outcome{Verb: step.Admit, Message: m, Key: "k"}
}

// A key has one holder at a time; the others are parked, and get it in the
// order in which they came.
//
// C2, M3
func TestExclusiveKey(t *testing.T) {
	s := newSim(t)
	s.task("s/start", keyedSend("s/a"), keyedSend("s/b"), keyedSend("s/c"))
	s.leaf("s/a", "s/b", "s/c")
	s.applied(begin("r", "s/start"))
	s.carryOut(s.take())
	got := s.grab(3)
	holder := s.applied(admit(got[0])).Message
	for _, i := range []int{2, 1} {
		if v := s.commit(admit(got[i])); v.Code != step.Blocked {
			t.Fatalf("second holder: %s", v.Code)
		}
	}
	if len(s.grab(9)) != 0 {
		t.Fatal("who waits for a key is not parked")
	}
	s.applied(s.handle(holder, nil))
	s.drain()
	s.wantRan("s/start", "s/a", "s/b", "s/c")
	s.wantRows(store.Lock, 0)
	s.wantRows(store.Waiter, 0)
	s.wantStatus("r", store.Finished)
}

// Who fails gives the key back, and asks for it again; who is lost by a crash
// keeps it until its message is run again.
//
// C2, R1, M3
func TestKeyOfAMessageThatIsRunAgain(t *testing.T) {
	s := newSim(t)
	s.task("s/start", keyedSend("s/a"), keyedSend("s/b"))
	s.on["s/a"] = func(m *store.Message, _ *store.Run) deed {
		if m.Attempt == 0 {
			return again(time.Hour, "no")
		}
		return do()
	}
	s.leaf("s/b")
	s.applied(begin("r", "s/start"))
	s.carryOut(s.take())
	got := s.grab(2)
	s.applied(admit(got[0]))
	s.commit(admit(got[1]))
	s.crash()
	m := s.take()
	if m.Task != "s/a" {
		t.Fatal("the key was not kept")
	}
	s.carryOut(m)
	s.drain()
	s.wantRan("s/start", "s/a", "s/b")
	s.advance(time.Hour)
	s.wantRan("s/start", "s/a", "s/b", "s/a")
}

// A newer program that finds another key for a message, or a saga, leaves the
// one that a crash left with it to the next.
//
// C2, M6
func TestKeyThatANewerProgramFinds(t *testing.T) {
	for _, again := range []step.Outcome{
		{Verb: step.Admit, Key: "another"},
		{Verb: step.Readdress, Key: "another"},
		{Verb: step.Readdress, Key: "k"},
	} {
		s := newSim(t)
		s.task("s/start", keyedSend("s/a"), keyedSend("s/b"))
		s.leaf("s/a", "s/b")
		s.applied(begin("r", "s/start"))
		s.carryOut(s.take())
		got := s.grab(2)
		s.applied(admit(got[0]))
		s.commit(admit(got[1]))
		s.crash()
		again.Message = s.take()
		if v := s.applied(&again); again.Verb == step.Admit {
			s.applied(s.handle(v.Message, nil))
		}
		s.drain()
		s.wantTimes("s/b", 1)
		s.wantRows(store.Waiter, 0)
		s.wantRows(store.Lock, 0)
		s.wantStatus("r", store.Finished)
	}
}

// Every end of a holder gives the key to the next.
//
// C2
func TestEveryEndGivesTheKeyBack(t *testing.T) {
	for _, verb := range []step.Verb{step.Done, step.Reject, step.Drop, step.Retry} {
		s := newSim(t)
		s.task("s/start", keyedSend("s/a"), keyedSend("s/b"))
		s.leaf("s/a", "s/b")
		s.applied(begin("r", "s/start"))
		s.carryOut(s.take())
		got := s.grab(2)
		holder := s.applied(admit(got[0])).Message
		s.commit(admit(got[1]))
		s.applied(&step.Outcome{Verb: verb, Message: holder, Delay: time.Hour, Failure: &step.Failure{}})
		s.drain()
		s.wantTimes("s/b", 1)
	}
}

// A run that ends drops those of its messages that wait for a key, however
// many; those of other runs get it.
//
// C2, N1
func TestEndOfARunWhoseMessagesWaitForAKey(t *testing.T) {
	s := newSim(t)
	var ds []step.Decision
	for range 200 {
		ds = append(ds, keyedSend("s/a"))
	}
	s.task("s/holder", step.Finish{})
	s.task("s/start", append(ds, step.Send{Task: "s/holder", Key: "k", Priority: 1})...)
	s.task("s/other", keyedSend("s/b"))
	s.leaf("s/a", "s/b")
	s.quiet = true
	s.applied(begin("r", "s/start"))
	s.carryOut(s.take())
	got := s.grab(1000)
	holder := s.applied(admit(got[0])).Message
	for _, m := range got[1:] {
		s.commit(admit(m))
	}
	s.start("q", "s/other")
	s.wantTimes("s/b", 0)
	s.applied(s.handle(holder, nil))
	s.drain()
	s.wantTimes("s/b", 1)
	s.wantTimes("s/a", 0)
	s.wantStatus("q", store.Finished)
	s.wantRows(store.Waiter, 0)
}

// A key may read like the number of a run: it is none of that run's rows.
//
// C2, H4
func TestKeyThatReadsLikeARun(t *testing.T) {
	s := newSim(t)
	s.leaf("s/first", "s/a")
	s.start("first", "s/first")
	key := store.Num(s.run("first").Key)
	s.applied(&step.Outcome{Verb: step.Insert, Sends: []step.Send{{Task: "s/a", Key: key}, {Task: "s/a", Key: key}}, Source: &step.Source{Consumer: "c", ID: "i"}})
	got := s.grab(2)
	holder := s.applied(&step.Outcome{Verb: step.Admit, Message: got[0], Key: key}).Message
	s.commit(&step.Outcome{Verb: step.Admit, Message: got[1], Key: key})
	s.clock.Advance(time.Hour)
	_, err := s.store.Purge(s.ctx(), store.Purge{EndedBefore: s.clock.Instant(), Limit: 9})
	s.must(err)
	s.applied(s.handle(holder, nil))
	s.drain()
	s.wantTimes("s/a", 2)
}

// counting makes a saga that counts its messages.
func (s *sim) counting() {
	key := keyed{saga: "s/count", key: "s/count/1"}
	s.keyed["s/add"] = key
	key.starts = true
	s.keyed["s/open"] = key
	add := func(_ *store.Message, r *store.Run) deed {
		n, _ := strconv.Atoi(string(r.State))
		return do(step.SetState{Data: fmt.Append(nil, n+1)})
	}
	s.on["s/open"], s.on["s/add"] = add, add
}

func (s *sim) insert(id string, tasks ...string) {
	s.t.Helper()
	o := &step.Outcome{Verb: step.Insert, Source: &step.Source{Consumer: "c", ID: id}}
	for _, task := range tasks {
		o.Sends = append(o.Sends, send(task))
	}
	s.applied(o)
}

// Messages for an unknown saga are parked, visibly. Its starting message
// creates it; then they are handled, each once, and none is lost.
//
// C2
func TestSaga(t *testing.T) {
	s := newSim(t)
	s.counting()
	s.insert("1", "s/add", "s/add")
	s.drain()
	s.wantRan()
	s.wantRows(store.Waiter, 2)
	s.insert("2", "s/open", "s/open", "s/add")
	s.drain()
	s.wantTimes("s/open", 2)
	s.wantTimes("s/add", 3)
	r := s.run("s/count/1")
	if string(r.State) != "5" || r.Revision != 5 || r.Status != store.Running || r.Open != 0 || !r.Saga {
		t.Fatalf("saga %+v", r)
	}
	s.wantRows(store.Waiter, 0)
	s.wantRows(store.Lock, 0)
}

// A saga whose first step has not succeeded does not exist yet: only who may
// start it gets the key, however many wait before.
//
// C2, R1
func TestSagaWhoseStartFails(t *testing.T) {
	s := newSim(t)
	s.counting()
	add := s.on["s/add"]
	failed := false
	s.on["s/open"] = func(m *store.Message, r *store.Run) deed {
		if !failed {
			failed = true
			return broken("no")
		}
		return add(m, r)
	}
	s.quiet = true
	var many []string
	for range 100 {
		many = append(many, "s/add")
	}
	s.insert("1", append(many, "s/open", "s/open")...)
	got := s.grab(1000)
	n := len(got)
	first := s.applied(&step.Outcome{Verb: step.Admit, Message: got[n-2], Saga: "s/count", Key: "s/count/1", Starts: true})
	for _, m := range append(got[:n-2], got[n-1]) {
		if v := s.carryOut(m); v.Code != step.Blocked {
			t.Fatalf("%s while the saga begins: %s", m.Task, v.Code)
		}
	}
	s.applied(s.handle(first.Message, first.Run))
	s.drain()
	s.wantTimes("s/add", 100)
	if r := s.run("s/count/1"); string(r.State) != "101" {
		t.Fatalf("state %s", r.State)
	}
}

// Messages of a saga that fail, crash and come at once: no update is lost,
// and none is made twice.
//
// C2, M2, M3
func TestSagaUnderCrashes(t *testing.T) {
	s := newSim(t)
	s.counting()
	s.insert("1", "s/open", "s/add", "s/add", "s/add")
	add := s.on["s/add"]
	s.on["s/add"] = func(m *store.Message, r *store.Run) deed {
		if m.Attempt == 0 {
			return again(0, "no")
		}
		return add(m, r)
	}
	for n := 0; ; n++ {
		got := s.grab(1 + n%3)
		if len(got) == 0 {
			break
		}
		if n%2 == 0 {
			s.commit(&step.Outcome{Verb: step.Admit, Message: got[0], Saga: "s/count", Key: "s/count/1", Starts: got[0].Task == "s/open"})
			s.crash()
			continue
		}
		for _, m := range got {
			s.carryOut(m)
		}
	}
	if r := s.run("s/count/1"); string(r.State) != "4" {
		t.Fatalf("state %s", r.State)
	}
}

// A saga that has ended takes no messages: they stay parked.
//
// C2, N1
func TestSagaThatHasEnded(t *testing.T) {
	s := newSim(t)
	s.counting()
	s.keyed["s/end"] = keyed{saga: "s/count", key: "s/count/1"}
	s.task("s/end", step.Finish{Result: []byte("r")})
	s.insert("1", "s/open", "s/end")
	s.insert("2", "s/add")
	s.drain()
	s.wantTimes("s/add", 0)
	s.wantRows(store.Waiter, 1)
	s.wantRows(store.Lock, 0)
	s.wantStatus("s/count/1", store.Finished)
}

// A run's message that turns out to be for a saga leaves its run.
//
// C2
func TestReaddress(t *testing.T) {
	s := newSim(t)
	s.counting()
	s.task("s/start", step.Send{Task: "s/open", Priority: 2, Payload: []byte("p")})
	s.applied(begin("r", "s/start"))
	s.carryOut(s.take())
	s.applied(&step.Outcome{Verb: step.Readdress, Message: s.take(), Saga: "s/count", Key: "s/count/1"})
	s.wantStatus("r", store.Finished)
	s.drain()
	if m := s.got["s/open"][0]; m.RunID != "s/count/1" || string(m.Payload) != "p" || m.Priority != 2 {
		t.Fatalf("message %+v", m)
	}
}

// A key that belongs to another saga, or to a run that is none, is refused.
//
// C2
func TestKeyOfAnotherSaga(t *testing.T) {
	s := newSim(t)
	s.counting()
	s.leaf("s/a")
	s.insert("1", "s/open")
	s.start("r", "s/a")
	s.insert("2", "s/add")
	m := s.take()
	for _, key := range []string{"r", "s/count/1"} {
		if v := s.commit(&step.Outcome{Verb: step.Admit, Message: m, Saga: "other", Key: key, Starts: true}); v.Code != step.Invalid {
			t.Fatalf("key %s: %s", key, v.Code)
		}
	}
}

// A message in the queue of a key that no saga takes does not keep the key
// from those behind it.
//
// C2
func TestWaiterThatCannotBeAdmitted(t *testing.T) {
	s := newSim(t)
	s.counting()
	s.on["s/plain"] = func(*store.Message, *store.Run) deed { return do() }
	key := s.keyed["s/add"].key
	s.keyed["s/plain"] = keyed{key: key}
	s.insert("1", "s/add")
	s.drain() // parked: no such saga
	s.insert("2", "s/plain", "s/plain")
	got := s.grab(2)
	holder := s.applied(&step.Outcome{Verb: step.Admit, Message: got[0], Key: key}).Message
	s.commit(&step.Outcome{Verb: step.Admit, Message: got[1], Key: key})
	s.applied(s.handle(holder, nil))
	s.drain()
	s.wantTimes("s/plain", 2)
}
