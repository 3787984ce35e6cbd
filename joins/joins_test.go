package joins_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-go/millrace/joins"
)

// A rule is fulfilled by a set of events, in whatever order and however often
// they come.
//
// F2, F4, F6
func TestRuleIsAboutASet(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	rapid.Check(t, func(t *rapid.T) {
		rule := joins.Rule{
			Mode:   rapid.SampledFrom([]joins.Mode{joins.All, joins.Any, joins.Some}).Draw(t, "mode"),
			Need:   rapid.IntRange(0, 5).Draw(t, "need"),
			Events: rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID[string]).Draw(t, "events"),
		}
		var p joins.Progress
		seen := map[string]bool{}
		for i, e := range rapid.SliceOf(rapid.SampledFrom(names)).Draw(t, "emitted") {
			wanted := slices.Contains(rule.Events, e) && !seen[e]
			if took := rule.Take(&p, joins.Arrival{Event: e, Data: fmt.Append(nil, i)}); took != wanted {
				t.Fatalf("took %s: %v, want %v", e, took, wanted)
			}
			if wanted {
				seen[e] = true
			}
			if got, want := rule.Fulfilled(&p), fulfilled(rule, len(seen)); got != want {
				t.Fatalf("fulfilled with %v: %v, want %v", seen, got, want)
			}
		}
		var order []string
		for _, e := range rule.Conclude(&p, nil, 1<<20).Events {
			order = append(order, e.Event)
		}
		want := slices.DeleteFunc(slices.Clone(rule.Events), func(e string) bool { return !seen[e] })
		if !slices.Equal(order, want) {
			t.Fatalf("handed over %v, want %v", order, want)
		}
	})
}

func fulfilled(r joins.Rule, got int) bool {
	switch r.Mode {
	case joins.Any:
		return got > 0 || len(r.Events) == 0
	case joins.Some:
		return got >= r.Need || got == len(r.Events)
	}
	return got == len(r.Events)
}

// Taking an event changes no progress that was taken from before.
func TestTakeSharesNothing(t *testing.T) {
	rule := joins.Rule{Events: []string{"a", "b", "c"}}
	var p joins.Progress
	rule.Take(&p, joins.Arrival{Event: "a"})
	one, two := p, p
	rule.Take(&one, joins.Arrival{Event: "b"})
	rule.Take(&two, joins.Arrival{Event: "c"})
	if one.Got[1].Event != "b" || two.Got[1].Event != "c" || len(p.Got) != 1 {
		t.Fatalf("%v %v %v", p, one, two)
	}
}

func TestForkRule(t *testing.T) {
	// F9
	for _, c := range []struct {
		total, max, done, failed int
		want                     bool
	}{
		{0, 0, 0, 0, true}, {3, 0, 2, 0, false}, {3, 0, 2, 1, true}, {3, 0, 0, 3, true}, {3, 1, 1, 0, false}, {3, 1, 0, 1, true}, {9, 2, 5, 1, false}, {9, 2, 5, 2, true},
	} {
		rule := joins.Rule{Mode: joins.Fork, Total: c.total, MaxFailed: c.max}
		p := joins.Progress{Done: c.done, Failed: c.failed}
		if got := rule.Fulfilled(&p); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
		if res := rule.Conclude(&p, []byte("d"), 10); res.Total != c.total || res.Done != c.done || res.Failed != c.failed || string(res.Data) != "d" {
			t.Errorf("%+v: %+v", c, res)
		}
	}
}

// What a join hands over fits the limit; what is elided says so.
//
// F5
func TestConcludeFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := joins.Rule{Events: []string{"a", "b", "c"}}
		var p joins.Progress
		for _, e := range rule.Events {
			rule.Take(&p, joins.Arrival{Event: e, Data: make([]byte, rapid.IntRange(0, 20).Draw(t, e))})
		}
		limit := rapid.IntRange(0, 50).Draw(t, "limit")
		res := rule.Conclude(&p, nil, limit)
		size := 0
		for i, e := range res.Events {
			size += len(e.Data)
			if !e.Elided && len(e.Data) != len(p.Got[i].Data) || e.Elided && e.Data != nil {
				t.Fatalf("event %+v", e)
			}
		}
		if size > limit || len(res.Events) != 3 {
			t.Fatalf("%d bytes, limit %d", size, limit)
		}
	})
}
