package step_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/millrace-go/millrace/joins"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

func all(events ...string) joins.Rule { return joins.Rule{Mode: joins.All, Events: events} }

func emit(event string, data ...byte) step.Emit { return step.Emit{Event: event, Data: data} }

// joined decodes what the message of a join got.
func (s *sim) joined(task string) joins.Result {
	s.t.Helper()
	s.wantTimes(task, 1)
	m := s.got[task][0]
	if !m.Joined {
		s.t.Fatalf("message of %s is not marked as joined", task)
	}
	var res joins.Result
	s.must(store.Unmarshal(m.Payload, &res))
	return res
}

func events(res joins.Result) string {
	var names []string
	for _, e := range res.Events {
		names = append(names, fmt.Sprintf("%s=%s", e.Event, e.Data))
	}
	return fmt.Sprint(names)
}

// A join of two branches fires once, and gets its own data and the events in
// the order in which it named them.
//
// F1, F2, F5
func TestJoinOfAll(t *testing.T) {
	s := newSim(t)
	s.task("s/start", send("s/a"), send("s/b"), step.Join{Rule: all("a", "b"), Then: send("s/then", 'x')})
	s.task("s/a", emit("b", '2'))
	s.task("s/b", emit("a", '1'))
	s.leaf("s/then")
	s.start("r", "s/start")
	res := s.joined("s/then")
	if events(res) != "[a=1 b=2]" || string(res.Data) != "x" || res.Late {
		t.Fatalf("joined task got %+v", res)
	}
	s.wantStatus("r", store.Finished)
	s.wantRows(store.Join, 0)
}

// The last two events of a join come in one commit.
//
// F2, M4
func TestJoinInOneBatch(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		s := newSim(t)
		s.task("s/start", send("s/a"), send("s/b"), step.Join{Rule: all("a", "b"), Then: send("s/then")})
		s.task("s/a", emit("a"))
		s.task("s/b", emit("b"))
		s.leaf("s/then")
		s.applied(begin("r", "s/start"))
		s.carryOut(s.take())
		got := s.grab(9)
		s.commitAs(s.worker, s.handle(got[order[0]], nil), s.handle(got[order[1]], nil))
		s.drain()
		s.joined("s/then")
		s.wantStatus("r", store.Finished)
	}
}

func TestJoinModes(t *testing.T) {
	// F6
	for _, c := range []struct {
		rule  joins.Rule
		fires string // after which event
	}{
		{all("a", "b", "c"), "c"},
		{joins.Rule{Mode: joins.Any, Events: []string{"c", "b"}}, "b"},
		{joins.Rule{Mode: joins.Some, Need: 2, Events: []string{"a", "b", "c"}}, "b"},
		{joins.Rule{Mode: joins.Some, Need: 9, Events: []string{"a", "b"}}, "b"},
		{joins.Rule{}, ""},
	} {
		t.Run(fmt.Sprint(c.rule), func(t *testing.T) {
			s := newSim(t)
			s.task("s/start", step.Join{Rule: c.rule, Then: send("s/then")}, send("s/a"))
			s.task("s/a", emit("a"), send("s/b"))
			s.task("s/b", emit("b"), send("s/c"))
			s.task("s/c", emit("c"))
			fired := ""
			last := ""
			s.leaf("s/then")
			s.applied(begin("r", "s/start"))
			for got := s.grab(1); len(got) > 0; got = s.grab(1) {
				s.carryOut(got[0])
				if task := got[0].Task; task == "s/then" {
					continue
				} else if task != "s/start" {
					last = task[2:]
				}
				if fired == "" && len(s.rows(store.Join)) == 0 {
					fired = last + "!"
				}
			}
			s.wantTimes("s/then", 1)
			if fired != c.fires+"!" {
				t.Fatalf("fired after %q, want %q", fired, c.fires)
			}
			s.wantStatus("r", store.Finished)
		})
	}
}

// Events are latched: one that came first counts, in the same step and in an
// earlier one.
//
// F3
func TestEventBeforeItsJoin(t *testing.T) {
	s := newSim(t)
	s.task("s/start", emit("a", '1'), send("s/next"))
	s.task("s/next", emit("b", '2'), step.Join{Rule: all("a", "b"), Then: send("s/then")})
	s.leaf("s/then")
	s.start("r", "s/start")
	if got := events(s.joined("s/then")); got != "[a=1 b=2]" {
		t.Fatal(got)
	}
}

// OnlyAfter opts out of latching: only the second emit counts.
//
// F3, F4
func TestOnlyAfter(t *testing.T) {
	s := newSim(t)
	s.task("s/start", emit("a", '1'), send("s/next"))
	s.task("s/next", step.Join{Rule: all("a"), OnlyAfter: true, Then: send("s/then")}, step.Send{Task: "s/late", After: time.Hour})
	s.task("s/late", emit("a", '2'), step.Send{Task: "s/last", After: time.Hour})
	s.task("s/last", step.Join{Rule: all("a"), Then: send("s/first")})
	s.leaf("s/then", "s/first")
	s.start("r", "s/start")
	s.wantTimes("s/then", 0)
	s.advance(time.Hour)
	if got := events(s.joined("s/then")); got != "[a=2]" {
		t.Fatal(got)
	}
	s.advance(time.Hour) // F4: for others, the first data stays
	if got := events(s.joined("s/first")); got != "[a=1]" {
		t.Fatal(got)
	}
}

// A second "a" does not stand in for "b"; the first data is what the join
// gets, the later is in the history, and late arrivals change nothing.
//
// F4, F6
func TestEventCountsOnce(t *testing.T) {
	s := newSim(t)
	s.task("s/start", step.Join{Rule: all("a", "b"), Then: send("s/then")}, send("s/a1"))
	s.task("s/a1", emit("a", '1'), send("s/a2"))
	s.task("s/a2", emit("a", '2'), step.Send{Task: "s/b", After: time.Hour})
	s.task("s/b", emit("b", '3'), step.Send{Task: "s/a3", After: time.Hour})
	s.task("s/a3", emit("a", '4'))
	s.leaf("s/then")
	s.start("r", "s/start")
	s.wantTimes("s/then", 0)
	s.advance(3 * time.Hour)
	if got := events(s.joined("s/then")); got != "[a=1 b=3]" {
		t.Fatal(got)
	}
	var notes []string
	for _, e := range s.history("r") {
		for _, n := range e.Records {
			notes = append(notes, n.Kind+"="+string(n.Data))
		}
	}
	if fmt.Sprint(notes) != "[emitted again: a=2 emitted again: a=4]" {
		t.Fatalf("notes: %v", notes)
	}
}

// What would exceed the payload limit is handed over by reference, and what
// is referred to is there.
//
// F5
func TestElidedData(t *testing.T) {
	s := newSim(t)
	s.env.Limits.Payload = 100
	big := bytes.Repeat([]byte{7}, 60)
	s.task("s/start", step.Join{Rule: all("a", "b", "c"), Then: send("s/then", 1, 2)},
		step.Emit{Event: "a", Data: big}, step.Emit{Event: "b", Data: big}, step.Emit{Event: "c", Data: big[:20]})
	s.leaf("s/then")
	s.start("r", "s/start")
	res := s.joined("s/then")
	size, elided := len(res.Data), ""
	for _, e := range res.Events {
		size += len(e.Data)
		if !e.Elided {
			continue
		}
		elided += e.Event
		for _, row := range s.rows(store.Event) {
			if row.Owner == res.Owner && row.Name == e.Event && !bytes.Equal(decoded[step.EventRow](s, row).Data, big) {
				t.Fatal("the event's own row has other data")
			}
		}
	}
	if size > 100 || elided != "b" || len(res.Events) != 3 {
		t.Fatalf("%d bytes, elided %q: %+v", size, elided, res)
	}
}

// The row of a join that waits for many large events stays as small as its
// message.
//
// F5, L6
func TestJoinRowIsBounded(t *testing.T) {
	s := newSim(t)
	s.env.Limits.Payload = 100
	names := []string{"never"}
	var ds []step.Decision
	for i := range 50 {
		names = append(names, fmt.Sprint("e", i))
		ds = append(ds, step.Emit{Event: fmt.Sprint("e", i), Data: bytes.Repeat([]byte{7}, 60)})
	}
	s.task("s/start", append(ds, step.Join{Rule: all(names...), Then: send("s/then")})...)
	s.leaf("s/then")
	s.start("r", "s/start")
	row := decoded[step.JoinRow](s, s.rows(store.Join)[0])
	size := 0
	for _, g := range row.Progress.Got {
		size += len(g.Data)
	}
	if size > 100 || len(row.Progress.Got) != 50 {
		t.Fatalf("%d bytes of %d events in the join's row", size, len(row.Progress.Got))
	}
}

// Joins that ended leave the events that they waited for, so that an event's
// row does not grow with them.
//
// F6, L6
func TestEndedJoinsLeaveNoWaiters(t *testing.T) {
	s := newSim(t)
	n := 0
	s.on["s/loop"] = func(*store.Message, *store.Run) deed {
		if n++; n > 20 {
			return do()
		}
		return do(
			step.Join{Rule: joins.Rule{Mode: joins.Any, Events: []string{fmt.Sprint("e", n), "never"}}, Then: send("s/loop")},
			step.Join{Rule: all("never"), Within: time.Minute, Then: send("s/loop")},
			emit(fmt.Sprint("e", n)),
		)
	}
	s.start("r", "s/loop")
	s.advance(time.Hour)
	for _, row := range s.rows(store.Event) {
		if w := decoded[step.EventRow](s, row).Waiters; len(w) > 0 {
			t.Fatalf("event %s has waiters %v", row.Name, w)
		}
	}
}

// A join that is fulfilled when it is opened, and one without condition, fire
// in the same commit.
//
// F2, M4
func TestJoinFulfilledAtOnce(t *testing.T) {
	s := newSim(t)
	s.task("s/start", step.Join{Name: "j", Rule: joins.Rule{}, Then: send("s/then")}, step.Join{Name: "j", Rule: joins.Rule{Mode: joins.Any}, Then: send("s/then")})
	s.leaf("s/then")
	s.start("r", "s/start")
	s.wantTimes("s/then", 2)
	s.wantStatus("r", store.Finished)
}

// Two joins wait for one event; both fire.
//
// F2, F6
func TestOneEventTwoJoins(t *testing.T) {
	s := newSim(t)
	s.task("s/start", step.Join{Rule: all("a"), Then: send("s/x")}, step.Join{Rule: all("a"), Then: send("s/y")}, send("s/a"))
	s.task("s/a", emit("a"))
	s.leaf("s/x", "s/y")
	s.start("r", "s/start")
	s.wantTimes("s/x", 1)
	s.wantTimes("s/y", 1)
}

// The name of a join's message is taken when the join fires: the message goes
// without, and whoever emitted the event is not to blame.
//
// F2, T2
func TestJoinWhoseMessageHasATakenName(t *testing.T) {
	s := newSim(t)
	named := step.Send{Task: "s/then", Name: "x"}
	s.task("s/start", step.Join{Rule: all("a"), Then: named}, step.Send{Task: "s/later", Name: "x", After: time.Hour}, send("s/a"))
	s.task("s/a", emit("a"))
	s.leaf("s/then", "s/later")
	s.start("r", "s/start")
	s.wantTimes("s/then", 1)
	s.wantRows(store.Dead, 0)
}
