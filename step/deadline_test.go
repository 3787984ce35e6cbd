package step_test

import (
	"testing"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

func within(d time.Duration, alternative string) step.Join {
	late := send(alternative, 'l')
	return step.Join{Name: "j", Rule: all("a", "b"), Within: d, Then: send("s/then", 't'), Else: &late}
}

// The deadline sends the alternative, with the events that did arrive; the
// join can't fire any more.
//
// F7, T1
func TestDeadline(t *testing.T) {
	s := newSim(t)
	s.task("s/start", within(time.Hour, "s/else"), emit("a", '1'), step.Send{Task: "s/b", After: 2 * time.Hour})
	s.task("s/b", emit("b"))
	s.leaf("s/then", "s/else")
	s.start("r", "s/start")
	s.advance(time.Hour - time.Microsecond)
	s.wantTimes("s/else", 0)
	s.advance(time.Microsecond)
	res := s.joined("s/else")
	if !res.Late || events(res) != "[a=1]" || string(res.Data) != "l" {
		t.Fatalf("alternative got %+v", res)
	}
	s.advance(2 * time.Hour)
	s.wantTimes("s/then", 0)
	s.wantStatus("r", store.Finished)
}

// A join that fired takes its deadline with it.
//
// F7
func TestJoinBeforeDeadline(t *testing.T) {
	s := newSim(t)
	s.task("s/start", within(time.Hour, "s/else"), emit("a"), emit("b"))
	s.leaf("s/then", "s/else")
	s.start("r", "s/start")
	s.advance(2 * time.Hour)
	s.wantTimes("s/then", 1)
	s.wantTimes("s/else", 0)
	s.wantStatus("r", store.Finished)
}

// Deadline and last event in one commit, in both orders: the first wins.
//
// F7, F2
func TestDeadlineAndEventInOneBatch(t *testing.T) {
	for _, tickFirst := range []bool{true, false} {
		s := newSim(t)
		s.task("s/start", within(time.Hour, "s/else"), emit("a"), step.Send{Task: "s/b", After: time.Hour})
		s.task("s/b", emit("b"))
		s.leaf("s/then", "s/else")
		s.start("r", "s/start")
		s.clock.Advance(time.Hour)
		var batch []*step.Outcome
		for _, m := range s.grab(9) {
			o := &step.Outcome{Verb: step.Internal, Message: m}
			if m.Kind == store.Task {
				o = s.handle(m, nil)
			}
			if (m.Kind == store.Tick) == tickFirst {
				batch = append([]*step.Outcome{o}, batch...)
			} else {
				batch = append(batch, o)
			}
		}
		res := s.commitAs(s.worker, batch...)
		s.drain()
		if s.times("s/then")+s.times("s/else") != 1 || (s.times("s/else") == 1) != tickFirst {
			t.Fatalf("then %d, else %d (tick first: %v)", s.times("s/then"), s.times("s/else"), tickFirst)
		}
		if !tickFirst && res.Verdicts[1].Code != step.Duplicate {
			t.Fatalf("the tick of a join that fired: %s", res.Verdicts[1].Code)
		}
		s.wantStatus("r", store.Finished)
	}
}

// Without an alternative, the join just ends.
//
// F7, N2
func TestDeadlineWithoutAlternative(t *testing.T) {
	s := newSim(t)
	s.task("s/start", step.Join{Rule: all("a"), Within: time.Hour, Then: send("s/then")})
	s.leaf("s/then")
	s.start("r", "s/start")
	s.wantStatus("r", store.Running)
	s.advance(time.Hour)
	s.wantStatus("r", store.Finished)
}

// A new join of the same name has a deadline of its own.
//
// F7, T2
func TestDeadlineOfANewJoinOfTheSameName(t *testing.T) {
	s := newSim(t)
	s.task("s/start", within(time.Hour, "s/else"), step.Send{Task: "s/again", After: 30 * time.Minute})
	s.task("s/again", step.Cancel{Name: "j"}, within(time.Hour, "s/else"))
	s.leaf("s/then", "s/else")
	s.start("r", "s/start")
	s.advance(time.Hour)
	s.wantTimes("s/else", 0)
	s.advance(30 * time.Minute)
	s.wantTimes("s/else", 1)
	s.wantStatus("r", store.Finished)
}
