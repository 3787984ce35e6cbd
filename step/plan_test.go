package step_test

import (
	"math/bits"
	"slices"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace-go/millrace/joins"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Few names, so that they meet.
var (
	planEvents = []string{"a", "b", "c"}
	planNames  = []string{"x", "y"}
	planScopes = []string{"w", "v"}
)

// planner draws what handlers decide.
type planner struct {
	t      *rapid.T
	labels int // given so far
	most   int
}

// number draws evenly from a range; rapid's own ranges prefer small numbers.
func (p *planner) number(from, to int) int {
	n := to - from + 1
	return from + rapid.Custom(func(t *rapid.T) (v int) {
		for range bits.Len(uint(n)) + 3 {
			v <<= 1
			if rapid.Bool().Draw(t, "bit") {
				v++
			}
		}
		return v % n
	}).Draw(p.t, "number")
}

func one[T any](p *planner, list []T) T { return list[p.number(0, len(list)-1)] }

// some draws a part of a list, in some order.
func (p *planner) some(list []string) (part []string) {
	for _, s := range list {
		if p.chance(50) {
			part = slices.Insert(part, p.number(0, len(part)), s)
		}
	}
	return part
}

func (p *planner) chance(percent int) bool { return p.number(0, 99) >= 100-percent }

func (p *planner) label() []byte {
	p.labels++
	return strconv.AppendInt(nil, int64(p.labels), 10)
}

func (p *planner) of(list []string) string { return one(p, list) }

func (p *planner) send() step.Send {
	s := step.Send{Task: "s/t", Payload: p.label()}
	if p.chance(15) {
		s.After = time.Duration(p.number(1, 90)) * time.Second
	}
	if p.chance(10) {
		s.Key = p.of([]string{"k", "l"})
	}
	if p.chance(10) {
		s.Priority = 1
	}
	return s
}

func (p *planner) timer() step.Send {
	s := p.send()
	s.Name, s.After = p.of(planNames), time.Duration(p.number(1, 90))*time.Second
	return s
}

func (p *planner) sends(most int) (list []step.Send) {
	for range p.number(0, most) {
		list = append(list, p.send())
	}
	return list
}

// decisions draws what a step of m decides; staged are the sends that its
// execution has put aside, in chunks.
func (p *planner) decisions(m *store.Message, staged [][]step.Send) (ds []step.Decision) {
	if len(staged) > 0 && p.chance(90) {
		f := &step.Fork{Chunks: len(staged), Sends: p.sends(1)}
		for _, chunk := range staged {
			f.Staged += len(chunk)
		}
		ds = append(ds, f)
		if m.Run != 0 && m.Undo == 0 && p.chance(80) {
			ds = append(ds, p.over(f))
		}
	}
	if p.labels >= p.most {
		return ds
	}
	for range p.number(0, 4) {
		switch {
		case m.Run == 0:
			ds = append(ds, p.ofJob())
		case m.Undo > 0:
			ds = append(ds, p.ofUndo())
		default:
			ds = append(ds, p.ofStep()...)
		}
	}
	return ds
}

func (p *planner) ofJob() step.Decision {
	switch p.number(0, 9) {
	case 0:
		return step.Emit{Event: "a"} // refused
	case 1:
		return &step.Fork{Sends: p.sends(2)}
	case 2:
		return step.Reply{Topic: "replies"}
	}
	return p.send()
}

func (p *planner) ofUndo() step.Decision {
	late := p.send()
	switch p.number(0, 9) {
	case 0:
		return step.Undo{Send: p.send()} // refused
	case 1:
		return p.join() // refused
	case 2:
		return &step.Fork{Sends: p.sends(2)}
	case 3:
		return step.Cancel{Name: p.of(planNames), Late: &late}
	case 4:
		return step.Finish{}
	case 5:
		return p.emit()
	}
	return p.send()
}

func (p *planner) ofStep() []step.Decision {
	late := p.send()
	switch n := p.number(0, 99); {
	case n < 25:
		return []step.Decision{p.send()}
	case n < 45:
		return []step.Decision{p.emit()}
	case n < 65:
		return []step.Decision{p.join()}
	case n < 75:
		f := &step.Fork{Sends: p.sends(3)}
		if p.chance(80) {
			return []step.Decision{f, p.over(f)}
		}
		return []step.Decision{f}
	case n < 80:
		return []step.Decision{p.timer()}
	case n < 84:
		return []step.Decision{step.Cancel{Name: p.of(planNames), Late: &late}}
	case n < 87:
		return []step.Decision{step.Move{Name: p.of(planNames), After: time.Minute, Late: &late}}
	case n < 93:
		return []step.Decision{step.Undo{Send: p.send()}}
	case n < 95:
		return []step.Decision{step.SetState{Data: p.label()}, step.Record{Kind: "note"}, step.Return{Data: []byte("r")}}
	case n < 97:
		return []step.Decision{step.Finish{Result: p.label()}}
	case n < 99:
		return []step.Decision{step.Fail{Reason: "drawn"}}
	}
	away := p.send()
	away.Away = true
	return []step.Decision{away}
}

func (p *planner) emit() step.Emit {
	e := step.Emit{Event: p.of(planEvents), Data: p.label()}
	if p.chance(30) {
		e.Scope = p.of(planScopes)
	}
	return e
}

func (p *planner) join() step.Join {
	j := step.Join{
		Rule: joins.Rule{
			Mode:   one(p, []joins.Mode{joins.All, joins.Any, joins.Some}),
			Need:   p.number(0, 3),
			Events: p.some(planEvents),
		},
		OnlyAfter: p.chance(20), Then: p.send(),
	}
	if p.chance(30) {
		j.Scope = p.of(planScopes)
	}
	return p.timed(j)
}

// over is a join over a fork of the same step.
func (p *planner) over(f *step.Fork) step.Join {
	return p.timed(step.Join{
		Rule: joins.Rule{Mode: joins.Fork, MaxFailed: p.number(0, 2)}, Fork: f, Then: p.send(),
	})
}

func (p *planner) timed(j step.Join) step.Join {
	if p.chance(30) {
		j.Name = p.of(planNames)
	}
	if p.chance(40) {
		j.Within = time.Duration(p.number(1, 90)) * time.Second
		if p.chance(80) {
			late := p.send()
			j.Else = &late
		}
	}
	return j
}
