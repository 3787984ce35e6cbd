package step_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

// sagas is a world of stateful sagas that count their messages.
type sagas struct {
	*world
	sent    map[string]int // messages by key
	started map[string]bool
	at      map[int64]step.Verdict // as admitted
}

// Stateful sagas count each of their messages once, whatever crashes, is
// tried again, is repeated or comes at once. Messages for one that was never
// started stay parked.
//
// C2, M2, M3, M9
func TestRandomSagas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &sagas{world: newWorld(t), sent: map[string]int{}, started: map[string]bool{}, at: map[int64]step.Verdict{}}
		for range s.plan.number(1, 40) {
			s.act()
		}
		s.end()
		for key, n := range s.sent {
			s.counted(key, n)
		}
	})
}

func (s *sagas) act() {
	h := one(&s.plan, s.workers)
	switch n := s.plan.number(0, 9); {
	case n < 2:
		s.insert(h)
	case n < 4:
		s.grab(h, s.plan.number(1, 3))
	case n < 5:
		s.crash(h)
	case n < 6:
		s.clock.Advance(time.Minute)
	default:
		if held := s.held(h); len(held) > 0 {
			s.carryOut(h, one(&s.plan, held), false)
		}
	}
}

func (s *sagas) insert(h *hand) {
	s.begun++
	key, task := one(&s.plan, []string{"saga/1", "saga/2"}), one(&s.plan, []string{"s/add", "s/open"})
	s.sent[key]++
	s.started[key] = s.started[key] || task == "s/open"
	s.repeat(h, &step.Outcome{
		Verb: step.Insert, Sends: []step.Send{{Task: task, Meta: map[string]string{"key": key}}},
		Source: &step.Source{Consumer: "c", ID: fmt.Sprint(s.begun)},
	})
}

// repeat commits an outcome, and at times once more. The last verdict counts
// if the first one's answer was lost.
func (s *sagas) repeat(h *hand, o *step.Outcome) step.Verdict {
	room := s.plan.number(0, 2)
	v := s.commit(h.key, room, []*step.Outcome{o}).Verdicts[0]
	if s.plan.chance(15) {
		again := s.commit(h.key, room, []*step.Outcome{o}).Verdicts[0]
		if o.Verb == step.Admit && v.Code == step.Applied {
			v = again
		}
	}
	return v
}

func (s *sagas) carryOut(h *hand, m *store.Message, surely bool) {
	o := &step.Outcome{Verb: step.Done, Message: m, Failure: &step.Failure{Text: "drawn"}}
	v, ok := s.at[m.Seq]
	switch n := s.plan.number(0, 9); {
	case !ok || h.admitted[m.Seq] == nil:
		o.Verb, o.Saga, o.Key, o.Starts = step.Admit, "saga", m.Meta["key"], m.Task == "s/open"
		v = s.repeat(h, o)
		if v.Code == step.Applied {
			s.admitted(h, v.Message)
			s.at[m.Seq] = v
		}
		return
	case n < 2 && !surely:
		o.Verb, o.Delay = step.Retry, time.Duration(s.plan.number(0, 90))*time.Second
	default:
		n, _ := strconv.Atoi(string(v.Run.State))
		o.Decisions = []step.Decision{step.SetState{Data: strconv.AppendInt(nil, int64(n+1), 10)}}
	}
	o.Message = v.Message
	s.repeat(h, o)
	delete(h.admitted, m.Seq)
	delete(s.at, m.Seq)
}

// end carries out all that can be.
func (s *sagas) end() {
	s.crash(s.workers[1])
	h := s.workers[0]
	for range 1000 {
		s.grab(h, 100)
		held := s.held(h)
		if len(held) == 0 && !s.wait(h) {
			return
		}
		for _, m := range held {
			s.carryOut(h, m, true)
		}
	}
	s.t.Fatal("the world does not come to rest")
}

func (s *sagas) counted(key string, n int) {
	f := s.find(store.Query{Runs: &store.RunQuery{ID: key}})
	if !s.started[key] {
		if len(f.Runs) > 0 {
			s.t.Fatalf("saga %s was never started, and is there", key)
		}
		return
	}
	if r := f.Runs[0]; string(r.State) != fmt.Sprint(n) || r.Open != 0 || r.Revision != n {
		s.t.Fatalf("saga %s counts %s of %d messages, open %d", key, r.State, n, r.Open)
	}
}
