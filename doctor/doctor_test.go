package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace-go/millrace/doctor"
	"github.com/millrace-go/millrace/doctor/doctortest"
	"github.com/millrace-go/millrace/joins"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/memory"
	"github.com/millrace-go/millrace/store/storetest"
)

//semantics:stores memory

// ward is a store with some of everything in it.
type ward struct {
	t      *testing.T
	clock  *storetest.Clock
	store  store.Store
	worker int64
}

func newWard(t *testing.T) *ward {
	t.Helper()
	w := &ward{t: t, clock: storetest.NewClock(time.Time{})}
	w.store = memory.New(w.clock.Options())
	b, err := w.store.Beat(context.Background(), store.Beat{Lease: time.Hour})
	w.must(err)
	w.worker = b.Key
	return w
}

func (w *ward) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *ward) commit(outs ...*step.Outcome) *step.Result {
	w.t.Helper()
	env := step.Env{Worker: w.worker, Limits: step.Limits{}.WithDefaults(), ScopeRetention: 1e12}
	var res *step.Result
	w.must(w.store.Commit(context.Background(), step.Reads(outs, w.worker, 0), func(snap *store.Snapshot) *store.Changes {
		var c *store.Changes
		c, res = step.Fold(snap, outs, env)
		return c
	}))
	for i, v := range res.Verdicts {
		if v.Code != step.Applied && v.Code != step.Blocked {
			w.t.Fatalf("%s: %s (%v)", outs[i].Verb, v.Code, v.Err)
		}
	}
	return res
}

// start begins a run and returns its first message, held.
func (w *ward) start(id string) *store.Message {
	w.t.Helper()
	w.commit(&step.Outcome{Verb: step.Begin, Start: &step.Start{RunID: id, Task: "s/" + id}})
	return w.grab("s")
}

func (w *ward) grab(topic string) *store.Message {
	w.t.Helper()
	g, err := w.store.Grab(context.Background(), store.Grab{Worker: w.worker, Topics: []string{topic}, Limit: 1})
	w.must(err)
	if len(g.Messages) == 0 {
		w.t.Fatal("nothing is due")
	}
	return g.Messages[0]
}

func (w *ward) done(m *store.Message, ds ...step.Decision) {
	w.t.Helper()
	w.commit(&step.Outcome{Verb: step.Done, Message: m, Decisions: ds})
}

// fill makes runs in all sorts of states.
func (w *ward) fill() {
	w.t.Helper()
	send := step.Send{Task: "s/later", After: time.Hour}
	w.done(w.start("finished"))
	w.done(w.start("timed"), send, step.Join{Name: "j", Rule: joins.Rule{Events: []string{"e"}}, Within: time.Hour, Then: send})
	w.done(w.start("stalled"), step.Join{Name: "j", Rule: joins.Rule{Events: []string{"e"}}, Then: send})
	w.done(w.start("wide"), step.Join{Rule: joins.Rule{Events: []string{"e"}}, Within: time.Hour, Then: send, Scope: "w"})
	w.commit(&step.Outcome{Verb: step.Internal, Message: w.grab(store.Internal)})
	w.commit(&step.Outcome{Verb: step.Reject, Message: w.start("dead"), Failure: &step.Failure{Text: "no\nstack"}})
	m := w.start("staging")
	v := w.commit(&step.Outcome{Verb: step.Stage, Message: m, Sends: []step.Send{send}}).Verdicts[0]
	w.commit(&step.Outcome{Verb: step.Stage, Message: v.Message, Chunk: 1, Sends: []step.Send{send}})
	m = w.start("staged")
	v = w.commit(&step.Outcome{Verb: step.Stage, Message: m, Sends: []step.Send{send}}).Verdicts[0]
	w.done(v.Message, &step.Fork{Chunks: 1, Staged: 1})
	w.commit(&step.Outcome{Verb: step.Admit, Message: w.start("keyed"), Key: "k"})
	w.commit(&step.Outcome{Verb: step.Admit, Message: w.start("parked"), Key: "k"})
	long := w.start("long")
	var ds []step.Decision
	for range 40 {
		ds = append(ds, step.Record{Kind: "note", Data: make([]byte, 100)})
	}
	w.done(long, append(ds, step.Send{Task: "s/later", After: time.Hour})...)
}

func (w *ward) examine(o doctor.Options) doctor.Report {
	w.t.Helper()
	r, err := doctor.Examine(context.Background(), w.store, o)
	w.must(err)
	return r
}

// change writes rows behind the core's back.
func (w *ward) change(c *store.Changes) {
	w.t.Helper()
	w.must(w.store.Commit(context.Background(), store.Keys{}, func(*store.Snapshot) *store.Changes { return c }))
}

func (w *ward) run(id string) *store.Run {
	w.t.Helper()
	f, err := w.store.Find(context.Background(), store.Query{Runs: &store.RunQuery{ID: id}})
	w.must(err)
	return f.Runs[0]
}

func (w *ward) rows(kind store.RowKind) []*store.Row {
	w.t.Helper()
	f, err := w.store.Find(context.Background(), store.Query{Rows: &store.RowQuery{Kind: kind, AllOwners: true}})
	w.must(err)
	return f.Rows
}

// message returns the first message that is fit.
func (w *ward) message(fit func(*store.Message) bool) *store.Message {
	w.t.Helper()
	f, err := w.store.Find(context.Background(), store.Query{Messages: &store.MessageQuery{}})
	w.must(err)
	for _, m := range f.Messages {
		if fit(m) {
			return m
		}
	}
	w.t.Fatal("no such message")
	return nil
}

// A sound store has no faults, whatever the sizes of pages and windows; what
// waits for somebody is told.
//
// M9, N2, R4
func TestSoundStore(t *testing.T) {
	w := newWard(t)
	doctortest.Check(t, w.store)
	w.fill()
	doctortest.Check(t, w.store)
	for _, o := range []doctor.Options{{}, {Page: 1, Window: 1}, {Page: 2, Window: 3}, {Page: 3, Window: 2}} {
		r := w.examine(o)
		if faults := r.Faults(); len(faults) > 0 {
			t.Fatalf("%+v: %v", o, faults)
		}
		var kinds []string
		for _, f := range r.Findings {
			kinds = append(kinds, string(f.Kind)+" "+f.Run)
			if strings.Contains(f.String(), "\n") {
				t.Errorf("not one line: %q", f)
			}
		}
		if fmt.Sprint(kinds) != "[stalled stalled dead letter dead]" || r.Runs != 10 || r.Dead != 1 {
			t.Fatalf("%v, %+v", kinds, r)
		}
	}
}

// Each damage is found, and said of what it is about.
//
// M9, H1, H2, N2
func TestDamage(t *testing.T) {
	put := func(r *store.Run) *store.Changes { return &store.Changes{PutRuns: []*store.Run{r}} }
	drop := func(m *store.Message) *store.Changes { return &store.Changes{DeleteMessages: []int64{m.Seq}} }
	body := func(val any) []byte {
		b, err := store.Marshal(val)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		harm func(w *ward) *store.Changes
		kind doctor.Kind
		run  string
	}{
		"message lost": {func(w *ward) *store.Changes {
			return drop(w.message(func(m *store.Message) bool { return m.RunID == "long" }))
		}, doctor.Conservation, ""},
		"message of a run lost": {func(w *ward) *store.Changes {
			return drop(w.message(func(m *store.Message) bool { return m.RunID == "long" }))
		}, doctor.Counts, "long"},
		"miscounted open": {func(w *ward) *store.Changes { r := w.run("timed"); r.Open++; return put(r) }, doctor.Counts, "timed"},
		"miscounted wait": {func(w *ward) *store.Changes { r := w.run("stalled"); r.Waiting--; return put(r) }, doctor.Counts, "stalled"},
		"miscounted dead": {func(w *ward) *store.Changes { r := w.run("dead"); r.Dead = 0; return put(r) }, doctor.Counts, "dead"},
		"state":           {func(w *ward) *store.Changes { r := w.run("timed"); r.State = []byte("x"); return put(r) }, doctor.History, "timed"},
		"tail": {func(w *ward) *store.Changes {
			r := w.run("timed")
			tail := append([]byte(nil), r.Tail...)
			tail[9] ^= 1
			r.Tail = tail
			return put(r)
		}, doctor.History, "timed"},
		"page": {func(w *ward) *store.Changes {
			row := w.rows(store.Page)[0]
			b := append([]byte(nil), row.Body...)
			b[len(b)/2] ^= 1
			return &store.Changes{PutRows: []*store.Row{{RowKey: row.RowKey, Body: b}}}
		}, doctor.History, "long"},
		"page lost": {func(w *ward) *store.Changes {
			return &store.Changes{DeleteRows: []store.RowKey{w.rows(store.Page)[0].RowKey}}
		}, doctor.History, "long"},
		"garbage": {func(w *ward) *store.Changes {
			return &store.Changes{PutRows: []*store.Row{{RowKey: w.rows(store.Lock)[0].RowKey, Body: []byte{0xff}}}}
		}, doctor.Damaged, ""},
		"holder lost": {func(w *ward) *store.Changes {
			return drop(w.message(func(m *store.Message) bool { return m.RunID == "keyed" }))
		}, doctor.Lock, ""},
		"lock lost": {func(w *ward) *store.Changes {
			return &store.Changes{DeleteRows: []store.RowKey{w.rows(store.Lock)[0].RowKey}}
		}, doctor.Lock, "parked"},
		"place in the queue lost": {func(w *ward) *store.Changes {
			return &store.Changes{DeleteRows: []store.RowKey{w.rows(store.Waiter)[0].RowKey}}
		}, doctor.Lock, "parked"},
		"waiter lost": {func(w *ward) *store.Changes {
			return drop(w.message(func(m *store.Message) bool { return m.RunID == "parked" }))
		}, doctor.Orphan, ""},
		"deadline lost": {func(w *ward) *store.Changes {
			return drop(w.message(func(m *store.Message) bool { return m.Kind == store.Tick && m.Scope == "" }))
		}, doctor.Deadline, "timed"},
		"wider deadline lost": {func(w *ward) *store.Changes {
			return drop(w.message(func(m *store.Message) bool { return m.Kind == store.Tick && m.Scope != "" }))
		}, doctor.Deadline, "wide"},
		"release lost": {func(w *ward) *store.Changes {
			return drop(w.message(func(m *store.Message) bool { return m.Kind == store.Release }))
		}, doctor.Orphan, ""},
		"stager lost": {func(w *ward) *store.Changes {
			return drop(w.message(func(m *store.Message) bool { return m.RunID == "staging" }))
		}, doctor.Orphan, ""},
		"scope": {func(w *ward) *store.Changes {
			return &store.Changes{PutRows: []*store.Row{{RowKey: w.rows(store.Scope)[0].RowKey, Body: body(&step.ScopeRow{Open: 7})}}}
		}, doctor.Counts, ""},
		"dead letter lost": {func(w *ward) *store.Changes {
			return &store.Changes{DeleteRows: []store.RowKey{w.rows(store.Dead)[0].RowKey}}
		}, doctor.Conservation, ""},
		"counters": {func(w *ward) *store.Changes {
			return &store.Changes{DeleteRows: []store.RowKey{w.rows(store.Counter)[0].RowKey}}
		}, doctor.Conservation, ""},
		"run lost": {func(w *ward) *store.Changes {
			m := *w.message(func(m *store.Message) bool { return m.RunID == "timed" })
			m.Run--
			return &store.Changes{PutMessages: []*store.Message{&m}}
		}, doctor.Orphan, "timed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t)
			w.fill()
			w.change(c.harm(w))
			waits := 0
			r := w.examine(doctor.Options{Wait: func(context.Context) error { waits++; return nil }})
			for _, f := range r.Faults() {
				if f.Kind == c.kind && f.Run == c.run {
					if waits != 1 {
						t.Errorf("%d more looks", waits)
					}
					return
				}
			}
			t.Fatalf("not found among %v", r.Findings)
		})
	}
}

// A message that a worker holds that is not there is told, and is no fault.
//
// M5
func TestStray(t *testing.T) {
	w := newWard(t)
	w.start("r")
	_, err := w.store.Reap(context.Background(), store.Reap{Workers: []int64{w.worker}})
	w.must(err)
	r := w.examine(doctor.Options{})
	if len(r.Findings) != 1 || r.Findings[0].Kind != doctor.Stray || r.Findings[0].Run != "r" {
		t.Fatalf("%v", r.Findings)
	}
}

// What is gone at the second look was none, and what came in between is not
// told before another.
//
// M9
func TestOnlyWhatPersists(t *testing.T) {
	w := newWard(t)
	w.fill()
	sound := *w.run("timed")
	off := sound
	off.Open++
	w.change(&store.Changes{PutRuns: []*store.Run{&off}})
	mend := func(context.Context) error {
		other := *w.run("long")
		other.Open++
		w.change(&store.Changes{PutRuns: []*store.Run{&sound, &other}})
		return nil
	}
	if r := w.examine(doctor.Options{Wait: mend}); len(r.Faults()) != 0 {
		t.Fatalf("%v", r.Faults())
	}
	stop := errors.New("stop")
	if _, err := doctor.Examine(context.Background(), w.store, doctor.Options{Wait: func(context.Context) error { return stop }}); !errors.Is(err, stop) {
		t.Fatal(err)
	}
}

// busy is a store in which something happens before each query.
type busy struct {
	store.Store
	happen func()
}

func (b *busy) Find(ctx context.Context, q store.Query) (store.Found, error) {
	b.happen()
	return b.Store.Find(ctx, q)
}

// A store in use has no faults for that, at the very first look.
//
// M9
func TestStoreInUse(t *testing.T) {
	w := newWard(t)
	w.fill()
	n := 0
	happen := func() {
		n++
		m := w.start(fmt.Sprint("new", n))
		w.done(m, step.Send{Task: "s/later", After: time.Hour}, step.Join{Rule: joins.Rule{Events: []string{"e"}}, Then: step.Send{Task: "s/later"}})
	}
	r, err := doctor.Examine(context.Background(), &busy{w.store, happen}, doctor.Options{Page: 3, Window: 4, Looks: 1})
	w.must(err)
	if n < 20 || n > 1000 {
		t.Fatalf("%d queries", n)
	}
	for _, f := range r.Faults() {
		t.Error(f)
	}
}

// The list of findings is bounded.
//
// L6
func TestMost(t *testing.T) {
	w := newWard(t)
	for i := range 20 {
		w.commit(&step.Outcome{Verb: step.Reject, Message: w.start(fmt.Sprint("dead", i))})
	}
	if r := w.examine(doctor.Options{Most: 5}); len(r.Findings) != 5 || !r.Cut {
		t.Fatalf("%d findings, cut %v", len(r.Findings), r.Cut)
	}
}

// The store's error is returned.
func TestStoreFails(t *testing.T) {
	w := newWard(t)
	w.must(w.store.Close())
	if _, err := doctor.Examine(context.Background(), w.store, doctor.Options{}); !errors.Is(err, store.ErrClosed) {
		t.Fatal(err)
	}
}
