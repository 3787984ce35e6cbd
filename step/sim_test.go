package step_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/millrace-go/millrace/doctor"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/memory"
	"github.com/millrace-go/millrace/store/storetest"
)

// sim is a world of one store and one worker at a time, which carries out what
// is due as an engine would, with handlers from a script.
type sim struct {
	t      *testing.T
	clock  *storetest.Clock
	store  store.Store
	worker int64
	env    step.Env
	on     map[string]handler
	keyed  map[string]keyed
	ran    []string                    // tasks, in the order in which their handlers were entered
	got    map[string][]*store.Message // by task: what its handlers were given
	quiet  bool                        // no check after each commit; only at the end
}

type handler func(m *store.Message, r *store.Run) deed

// keyed says that a task is of a stateful saga.
type keyed struct {
	saga, key string
	starts    bool
}

// deed is how a handler ends.
type deed struct {
	verb      step.Verb
	decisions []step.Decision
	delay     time.Duration
	text      string
}

func do(ds ...step.Decision) deed              { return deed{verb: step.Done, decisions: ds} }
func again(d time.Duration, text string) deed  { return deed{verb: step.Retry, delay: d, text: text} }
func broken(text string) deed                  { return deed{verb: step.Reject, text: text} }
func send(task string, data ...byte) step.Send { return step.Send{Task: task, Payload: data} }

func newSim(t *testing.T) *sim {
	t.Helper()
	s := &sim{t: t, clock: storetest.NewClock(time.Time{}), on: map[string]handler{}, keyed: map[string]keyed{}, got: map[string][]*store.Message{}}
	s.store = memory.New(s.clock.Options())
	s.env = step.Env{Host: "here", PID: 7, Limits: step.Limits{}.WithDefaults(), ScopeRetention: 7 * 24 * 3600e6}
	s.worker = s.newWorker()
	t.Cleanup(s.check)
	return s
}

func (s *sim) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *sim) newWorker() int64 {
	s.t.Helper()
	b, err := s.store.Beat(s.ctx(), store.Beat{Lease: 365 * 24 * time.Hour})
	s.must(err)
	return b.Key
}

func (s *sim) ctx() context.Context { return context.Background() }

// crash ends the worker: what it held is free, and another takes its place.
func (s *sim) crash() {
	s.t.Helper()
	_, err := s.store.Reap(s.ctx(), store.Reap{Workers: []int64{s.worker}, Limit: 1 << 20})
	s.must(err)
	s.worker = s.newWorker()
}

// check holds the store to the law of conservation and its kin.
//
// M9, H1, H2
func (s *sim) check() {
	s.t.Helper()
	report, err := doctor.Examine(s.ctx(), s.store, doctor.Options{Looks: 1})
	s.must(err)
	for _, f := range report.Faults() {
		s.t.Fatalf("fault in the store: %s", f)
	}
}

// commitAs stores outcomes of a worker and returns what the fold said.
func (s *sim) commitAs(worker int64, outs ...*step.Outcome) *step.Result {
	s.t.Helper()
	env := s.env
	env.Worker = worker
	var res *step.Result
	err := s.store.Commit(s.ctx(), step.Reads(outs, worker, 0), func(snap *store.Snapshot) *store.Changes {
		var c *store.Changes
		c, res = step.Fold(snap, outs, env)
		return c
	})
	s.must(err)
	if !s.quiet {
		s.check()
	}
	return res
}

// commit stores one outcome of the worker.
func (s *sim) commit(o *step.Outcome) step.Verdict {
	s.t.Helper()
	return s.commitAs(s.worker, o).Verdicts[0]
}

// applied stores an outcome that must take effect.
func (s *sim) applied(o *step.Outcome) step.Verdict {
	s.t.Helper()
	v := s.commit(o)
	if v.Code != step.Applied {
		s.t.Fatalf("%s: %s (%v), want applied", o.Verb, v.Code, v.Err)
	}
	return v
}

func begin(id, task string) *step.Outcome {
	return &step.Outcome{Verb: step.Begin, Start: &step.Start{RunID: id, Task: task, Nonce: "n"}}
}

// start begins a run and carries out what is due.
func (s *sim) start(id, task string) {
	s.t.Helper()
	s.applied(begin(id, task))
	s.drain()
}

// task makes a task always decide the same.
func (s *sim) task(name string, ds ...step.Decision) {
	s.on[name] = func(*store.Message, *store.Run) deed { return do(ds...) }
}

// leaf makes tasks that decide nothing.
func (s *sim) leaf(names ...string) {
	for _, n := range names {
		s.task(n)
	}
}

// topics are those that the handlers' tasks belong to, and the internal one.
func (s *sim) topics() []string {
	topics := []string{store.Internal}
	for name := range s.on {
		topics = append(topics, step.Service(name))
	}
	return topics
}

// grab takes up to n messages that are due.
func (s *sim) grab(n int) []*store.Message {
	s.t.Helper()
	g, err := s.store.Grab(s.ctx(), store.Grab{Worker: s.worker, Topics: s.topics(), Limit: n})
	s.must(err)
	return g.Messages
}

// take takes the one message that is due.
func (s *sim) take() *store.Message {
	s.t.Helper()
	got := s.grab(2)
	if len(got) != 1 {
		s.t.Fatalf("%d messages are due, want 1", len(got))
	}
	return got[0]
}

// drain carries out what is due, until nothing is.
func (s *sim) drain() {
	s.t.Helper()
	for n := 0; ; n++ {
		got := s.grab(1)
		if len(got) == 0 {
			return
		}
		if n > 5000 {
			s.t.Fatal("the world does not come to rest")
		}
		s.carryOut(got[0])
	}
}

// advance lets time pass and carries out what falls due, each at its time.
func (s *sim) advance(d time.Duration) {
	s.t.Helper()
	end := s.clock.Instant().Add(d)
	for {
		s.drain()
		g, err := s.store.Grab(s.ctx(), store.Grab{Worker: s.worker, Topics: s.topics()})
		s.must(err)
		if g.Next == 0 || g.Next > end {
			break
		}
		s.clock.Advance(max(g.Next.Sub(s.clock.Instant()), 0))
	}
	s.clock.Advance(max(end.Sub(s.clock.Instant()), 0))
}

// carryOut does with a held message what an engine does.
func (s *sim) carryOut(m *store.Message) step.Verdict {
	s.t.Helper()
	if m.Kind != store.Task {
		return s.applied(&step.Outcome{Verb: step.Internal, Message: m})
	}
	if r := s.runByKey(m.Run); m.Run != 0 && m.Undo == 0 && (r == nil || r.Status.Stopped()) {
		return s.applied(&step.Outcome{Verb: step.Drop, Message: m})
	}
	k, isSaga := s.keyed[m.Task]
	if !isSaga {
		k = keyed{key: m.Key}
	}
	var r *store.Run
	if k.key != "" {
		v := s.commit(&step.Outcome{Verb: step.Admit, Message: m, Key: k.key, Saga: k.saga, Starts: k.starts})
		if v.Code != step.Applied {
			return v
		}
		m, r = v.Message, v.Run
	}
	return s.commit(s.handle(m, r))
}

// handle enters a message's handler and returns its outcome.
func (s *sim) handle(m *store.Message, r *store.Run) *step.Outcome {
	s.t.Helper()
	h := s.on[m.Task]
	if h == nil {
		s.t.Fatalf("no handler for %q", m.Task)
	}
	s.ran = append(s.ran, m.Task)
	s.got[m.Task] = append(s.got[m.Task], m)
	d := h(m, r)
	return &step.Outcome{
		Verb: d.verb, Message: m, Decisions: d.decisions, Delay: d.delay, Failure: &step.Failure{Text: d.text},
	}
}

func (s *sim) find(q store.Query) store.Found {
	s.t.Helper()
	q.Limit = 1 << 20
	f, err := s.store.Find(s.ctx(), q)
	s.must(err)
	return f
}

func (s *sim) runByKey(key int64) *store.Run {
	s.t.Helper()
	if f := s.find(store.Query{Runs: &store.RunQuery{Key: key}}); key != 0 && len(f.Runs) > 0 {
		return f.Runs[0]
	}
	return nil
}

func (s *sim) run(id string) *store.Run {
	s.t.Helper()
	f := s.find(store.Query{Runs: &store.RunQuery{ID: id}})
	if len(f.Runs) == 0 {
		s.t.Fatalf("run %q is not there", id)
	}
	return f.Runs[0]
}

func (s *sim) messages() []*store.Message {
	s.t.Helper()
	return s.find(store.Query{Messages: &store.MessageQuery{}}).Messages
}

func (s *sim) rows(kind store.RowKind) []*store.Row {
	s.t.Helper()
	return s.find(store.Query{Rows: &store.RowQuery{Kind: kind, AllOwners: true}}).Rows
}

func (s *sim) counters() (sum step.CounterRow) {
	s.t.Helper()
	for _, row := range s.rows(store.Counter) {
		c := decoded[step.CounterRow](s, row)
		sum.Accepted += c.Accepted
		sum.Done += c.Done
		sum.Dead += c.Dead
		sum.Cancelled += c.Cancelled
		sum.Duplicates += c.Duplicates
	}
	return sum
}

func decoded[T any](s *sim, row *store.Row) (val T) {
	s.t.Helper()
	s.must(store.Unmarshal(row.Body, &val))
	return val
}

// history verifies and returns a run's history.
func (s *sim) history(id string) []step.Entry {
	s.t.Helper()
	r := s.run(id)
	entries, err := step.Verify(r, s.pages(r))
	s.must(err)
	return entries
}

func (s *sim) pages(r *store.Run) (pages []step.PageRow) {
	s.t.Helper()
	for _, row := range s.rows(store.Page) {
		if row.Owner == step.Owner(r.Key, "") {
			pages = append(pages, decoded[step.PageRow](s, row))
		}
	}
	return pages
}

// last returns the newest entry of a kind in a run's history.
func (s *sim) last(id, kind string) step.Entry {
	s.t.Helper()
	entries := s.history(id)
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Kind == kind {
			return entries[i]
		}
	}
	s.t.Fatalf("history of run %s has no entry %q", id, kind)
	return step.Entry{}
}

// times counts how often a task's handler was entered.
func (s *sim) times(task string) int { return len(s.got[task]) }

func (s *sim) wantRan(tasks ...string) {
	s.t.Helper()
	if fmt.Sprint(s.ran) != fmt.Sprint(tasks) {
		s.t.Fatalf("handlers entered: %v, want %v", s.ran, tasks)
	}
}

func (s *sim) wantTimes(task string, n int) {
	s.t.Helper()
	if got := s.times(task); got != n {
		s.t.Fatalf("handler of %s was entered %d times, want %d", task, got, n)
	}
}

func (s *sim) wantStatus(id string, want store.Status) {
	s.t.Helper()
	if got := s.run(id); got.Status != want {
		s.t.Fatalf("run %s is %s (open %d, %s), want %s", id, got.Status, got.Open, got.Error, want)
	}
}

func (s *sim) wantRows(kind store.RowKind, n int) {
	s.t.Helper()
	if rows := s.rows(kind); len(rows) != n {
		s.t.Fatalf("%d rows of kind %s are there, want %d: %v", len(rows), kind, n, rows)
	}
}

// dead returns the only dead letter.
func (s *sim) dead() (int64, step.DeadRow) {
	s.t.Helper()
	rows := s.rows(store.Dead)
	if len(rows) != 1 {
		s.t.Fatalf("%d dead letters, want 1", len(rows))
	}
	seq, _ := store.ParseNum(rows[0].Name)
	return seq, decoded[step.DeadRow](s, rows[0])
}
