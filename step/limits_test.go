package step_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

// What is over a limit, or no proper name, is refused before anything is
// written, wherever in an outcome it stands.
//
// M7
func TestLimits(t *testing.T) {
	l := step.Limits{Payload: 10, Name: 5}.WithDefaults()
	long, big := "a/bcde", []byte("12345678901")
	ok := step.Send{Task: "a/b"}
	done := func(d step.Decision) *step.Outcome { return &step.Outcome{Decisions: []step.Decision{d}} }
	for name, c := range map[string]struct {
		o    *step.Outcome
		want error
	}{
		"send, task":       {done(step.Send{Task: long}), step.ErrTooLarge},
		"send, no task":    {done(step.Send{}), step.ErrBadName},
		"send, no service": {done(step.Send{Task: "task"}), step.ErrBadName},
		"send, no name":    {done(step.Send{Task: "a/"}), step.ErrBadName},
		"send, internal":   {done(step.Send{Task: "~/a"}), step.ErrBadName},
		"send, payload":    {done(step.Send{Task: "a/b", Payload: big}), step.ErrTooLarge},
		"send, timer":      {done(step.Send{Task: "a/b", Name: "123456"}), step.ErrTooLarge},
		"send, key":        {done(step.Send{Task: "a/b", Key: "\xff"}), step.ErrBadName},
		"send, metadata":   {done(step.Send{Task: "a/b", Meta: map[string]string{"123456": "12345"}}), step.ErrTooLarge},
		"send, NUL":        {done(step.Send{Task: "a/\x00"}), step.ErrBadName},
		"fork":             {done(&step.Fork{Sends: []step.Send{ok, {}}}), step.ErrBadName},
		"emit":             {done(step.Emit{}), step.ErrBadName},
		"emit, scope":      {done(step.Emit{Event: "e", Scope: "123456"}), step.ErrTooLarge},
		"emit, data":       {done(step.Emit{Event: "e", Data: big}), step.ErrTooLarge},
		"join":             {done(step.Join{Rule: all("123456"), Then: ok}), step.ErrTooLarge},
		"join, twice":      {done(step.Join{Rule: all("a", "a"), Then: ok}), step.ErrBadName},
		"join, name":       {done(step.Join{Name: "#1", Then: ok}), step.ErrBadName},
		"join, then":       {done(step.Join{}), step.ErrBadName},
		"join, else":       {done(step.Join{Then: ok, Else: &step.Send{}}), step.ErrBadName},
		"undo":             {done(step.Undo{}), step.ErrBadName},
		"state":            {done(step.SetState{Data: big}), step.ErrTooLarge},
		"record":           {done(step.Record{Kind: "k", Data: big}), step.ErrTooLarge},
		"cancel":           {done(step.Cancel{}), step.ErrBadName},
		"cancel, late":     {done(step.Cancel{Name: "x", Late: &step.Send{}}), step.ErrBadName},
		"move":             {done(step.Move{}), step.ErrBadName},
		"reply":            {done(step.Reply{Topic: "t", Data: big}), step.ErrTooLarge},
		"return":           {done(step.Return{Data: big}), step.ErrTooLarge},
		"finish":           {done(step.Finish{Result: big}), step.ErrTooLarge},
		"fail":             {done(step.Fail{Reason: string(big)}), step.ErrTooLarge},
		"start":            {&step.Outcome{Start: &step.Start{Task: "a/b"}}, step.ErrBadName},
		"start, input":     {&step.Outcome{Start: &step.Start{RunID: "r", Task: "a/b", Input: big}}, step.ErrTooLarge},
		"insert":           {&step.Outcome{Sends: []step.Send{{}}}, step.ErrBadName},
		"insert, id":       {&step.Outcome{Source: &step.Source{Consumer: "c", ID: "\x00"}}, step.ErrBadName},
		"insert, consumer": {&step.Outcome{Source: &step.Source{ID: "i"}}, step.ErrBadName},
		"requeue":          {&step.Outcome{Dead: &step.DeadOp{Payload: &big}}, step.ErrTooLarge},
		"abort":            {&step.Outcome{Abort: &step.AbortOp{RunID: "r", Reason: string(big)}}, step.ErrTooLarge},
		"admit":            {&step.Outcome{Verb: step.Admit, Key: "123456"}, step.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			if err := l.Check(c.o); !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
		})
	}
	for _, d := range []step.Decision{
		ok, step.Send{Topic: "t"}, step.Emit{Event: "é'\n\"", Data: []byte("\x00'")}, step.Join{Rule: all("a", "b"), Then: ok}, step.Finish{}, step.Fail{},
	} {
		if err := l.Check(done(d)); err != nil {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

// Whatever bytes payloads, metadata and names consist of arrives unchanged.
//
// M7
func TestOpaqueBytes(t *testing.T) {
	nasty := "'; DROP TABLE x; --\x00\n\"\\ {{ redis.call('x') }} \xff\xfe é \u2028"
	name := strings.NewReplacer("\x00", "", "\xff", "", "\xfe", "").Replace(nasty)
	s := newSim(t)
	s.task("s/start", step.Send{Task: "s/" + name, Payload: []byte(nasty), Meta: map[string]string{"k" + name: nasty}},
		step.Emit{Event: name, Data: []byte(nasty)}, step.Join{Name: name, Rule: all(name), Then: step.Send{Task: "s/then", Payload: []byte(nasty)}})
	s.leaf("s/"+name, "s/then")
	s.start(name, "s/start")
	m := s.got["s/"+name][0]
	if string(m.Payload) != nasty || m.Meta["k"+name] != nasty || m.RunID != name {
		t.Fatalf("message %+v", m)
	}
	res := s.joined("s/then")
	if string(res.Data) != nasty || len(res.Events) != 1 || string(res.Events[0].Data) != nasty || res.Events[0].Event != name {
		t.Fatalf("joined task got %+v", res)
	}
	s.wantStatus(name, store.Finished)
}

func TestServiceOfATask(t *testing.T) {
	// F10
	for task, want := range map[string]string{"a/b": "a", "a/b/c": "a", "a": "a", "": ""} {
		if got := step.Service(task); got != want {
			t.Errorf("%q: %q", task, got)
		}
	}
}
