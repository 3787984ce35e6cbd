package step_test

import (
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Whatever a step decides arrives at home as it was decided.
//
// F10, M7
func TestHomewardRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := planner{t: t, most: 60}
		out := step.Homeward{Seq: int64(p.number(1, 1<<40)), ID: "id"}
		if p.chance(20) {
			out.Failure = &step.Failure{Text: "text\x00\xff", Stack: "stack"}
		}
		for range p.number(0, 5) {
			out.Decisions = append(out.Decisions, p.ofStep()...)
		}
		body, err := out.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var back step.Homeward
		if err := back.Unmarshal(body); err != nil {
			t.Fatal(err)
		}
		if len(out.Decisions) == 0 {
			out.Decisions = []step.Decision{}
		}
		if !reflect.DeepEqual(out, back) {
			t.Fatalf("sent %+v, and got %+v", out, back)
		}
		sharesForks(t, back.Decisions)
	})
}

// sharesForks checks that joins wait for the forks of their own outcome.
func sharesForks(t rapid.TB, ds []step.Decision) {
	forks := map[*step.Fork]bool{}
	for _, d := range ds {
		if f, ok := d.(*step.Fork); ok {
			forks[f] = true
		}
	}
	for _, d := range ds {
		if j, ok := d.(step.Join); ok && j.Fork != nil && !forks[j.Fork] {
			t.Fatalf("a join waits for a fork of nobody's")
		}
	}
}

func TestStagedForkDoesNotTravel(t *testing.T) {
	out := step.Homeward{Decisions: []step.Decision{&step.Fork{Chunks: 2, Staged: 700}}}
	if _, err := out.Marshal(); err == nil {
		t.Fatal("it is not refused")
	}
}

// What comes from outside never panics, and what is taken is whole.
func FuzzHomeward(f *testing.F) {
	fork := &step.Fork{Sends: []step.Send{{Task: "s/t"}}}
	for _, out := range []step.Homeward{
		{Seq: 1, ID: "a"},
		{Seq: 2, ID: "b", Failure: &step.Failure{Text: "no"}},
		{Seq: 3, ID: "c", Decisions: []step.Decision{fork, step.Join{Name: "j", Fork: fork}, step.Emit{Event: "e"}, step.Finish{}}},
	} {
		body, err := out.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var out step.Homeward
		if err := out.Unmarshal(body); err != nil {
			if !errors.Is(err, store.ErrCorrupt) {
				t.Fatalf("%v is not store.ErrCorrupt", err)
			}
			return
		}
		sharesForks(t, out.Decisions)
		if _, err := out.Marshal(); err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
	})
}
