package step_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace-go/millrace/doctor"
	"github.com/millrace-go/millrace/joins"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/memory"
	"github.com/millrace-go/millrace/store/storetest"
)

// world is a store, some workers that crash, and the model beside it.
type world struct {
	t       *rapid.T
	clock   *storetest.Clock
	store   store.Store
	plan    planner
	model   *model
	workers []*hand
	past    []attempt                // outcomes of workers that are closed, or were answered
	ids     map[string]string        // of messages, by label: none comes twice
	joinIDs map[string]string        // labels of joins in wider scopes, by id
	staged  map[int64][][]step.Send  // by seq of who holds them
	bad     map[int64]*store.Message // whose decisions were refused
	begun   int
	program *program // fixes what tasks decide; nil: it is drawn
	broker  bool     // messages travel through a broker
	lends   bool     // whose handlers may be on another store
}

// hand is what a worker process has in memory.
type hand struct {
	key      int64
	admitted map[int64]*store.Message // as admitted to their keys
}

type attempt struct {
	worker int64
	out    *step.Outcome
}

func newWorld(t *rapid.T) *world {
	w := &world{
		t: t, clock: storetest.NewClock(time.Time{}), model: newModel(), plan: planner{t: t, most: 60},
		ids: map[string]string{}, joinIDs: map[string]string{}, staged: map[int64][][]step.Send{}, bad: map[int64]*store.Message{},
	}
	w.store = memory.New(w.clock.Options())
	for range 2 {
		w.workers = append(w.workers, w.newHand())
	}
	return w
}

func (w *world) must(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) newHand() *hand {
	b, err := w.store.Beat(context.Background(), store.Beat{Lease: time.Hour})
	w.must(err)
	return &hand{key: b.Key, admitted: map[int64]*store.Message{}}
}

func (w *world) find(q store.Query) store.Found {
	q.Limit = 1 << 20
	f, err := w.store.Find(context.Background(), q)
	w.must(err)
	return f
}

func (w *world) rows(kind store.RowKind) []*store.Row {
	return w.find(store.Query{Rows: &store.RowQuery{Kind: kind, AllOwners: true}}).Rows
}

func (w *world) decode(row *store.Row, val any) { w.must(store.Unmarshal(row.Body, val)) }

// labelOf reads the label of a task's message.
func (w *world) labelOf(m *store.Message) string {
	if !m.Joined {
		return string(m.Payload)
	}
	var res joins.Result
	w.must(store.Unmarshal(m.Payload, &res))
	return string(res.Data)
}

// commit stores outcomes of a worker; room says how many of their children
// may be born held.
func (w *world) commit(worker int64, room int, outs []*step.Outcome) *step.Result {
	env := step.Env{
		Worker: worker, Host: "here", Limits: step.Limits{}.WithDefaults(), ScopeRetention: 1e15,
		Room: map[string]int{"s": room, store.Internal: room}, Retention: 1e12,
	}
	if w.broker {
		env.Broker = &step.Broker{
			Others: room, Again: 5e6, Local: w.lends && room == 3, Served: map[string]bool{"s": !w.lends},
		}
	}
	var res *step.Result
	err := w.store.Commit(context.Background(), step.Reads(outs, worker, 0), func(snap *store.Snapshot) *store.Changes {
		var c *store.Changes
		c, res = step.Fold(snap, outs, env)
		return c
	})
	w.must(err)
	return res
}

// do commits a batch, lets the model follow, and compares. At times the
// answer is lost, and the same batch is committed again.
func (w *world) do(h *hand, outs []*step.Outcome) []step.Verdict {
	before := w.oracle()
	room := w.plan.number(0, 3)
	effects := make([]func(), len(outs))
	for i, o := range outs {
		effects[i] = w.effect(h, o)
	}
	res := w.commit(h.key, room, outs)
	w.log(h.key, outs, res.Verdicts)
	w.model.look = w.after(before)
	w.follow(outs, effects, res.Verdicts)
	if w.plan.chance(10) {
		again := w.commit(h.key, room, outs)
		w.log(h.key, outs, again.Verdicts)
		w.model.look = w.after(w.oracle())
		w.followAgain(outs, effects, res.Verdicts, again.Verdicts)
	}
	for _, o := range outs {
		w.past = append(w.past, attempt{h.key, o})
	}
	w.compare()
	return res.Verdicts
}

func (w *world) follow(outs []*step.Outcome, effects []func(), verdicts []step.Verdict) {
	for i, v := range verdicts {
		w.step(outs[i], effects[i], v)
	}
}

// followAgain lets the model follow what took effect only the second time.
func (w *world) followAgain(outs []*step.Outcome, effects []func(), first, second []step.Verdict) {
	for i := range outs {
		if first[i].Code == step.Invalid {
			w.step(outs[i], effects[i], second[i])
			first[i] = second[i]
		}
	}
}

// step lets the model follow one outcome.
func (w *world) step(o *step.Outcome, effect func(), v step.Verdict) {
	switch v.Code {
	case step.Applied:
		effect()
	case step.Blocked: // parked
		w.model.look.loose[w.labelOf(o.Message)] = true
	case step.Invalid:
		trial := w.model
		w.model = trial.clone()
		effect()
		if !w.model.invalid {
			w.t.Fatalf("%s was refused: %v", describe(o), v.Err)
		}
		w.model = trial
		if o.Message != nil && o.Message.Kind == store.Task {
			w.bad[o.Message.Seq] = o.Message
		}
	}
	if w.model.invalid {
		w.t.Fatalf("%s was not refused", describe(o))
	}
}

// log says what happened, for whoever reads a failure.
func (w *world) log(worker int64, outs []*step.Outcome, verdicts []step.Verdict) {
	for i, o := range outs {
		what := ""
		if m := o.Message; m != nil {
			what = fmt.Sprintf("%s %d of %q", m.Kind, m.Seq, m.RunID)
			if m.Kind == store.Task {
				what += " " + w.labelOf(m)
			}
		}
		w.t.Logf("worker %d: %s %s: %s", worker, describe(o), what, verdicts[i].Code)
	}
}

func describe(o *step.Outcome) string { return fmt.Sprintf("%s %+v", o.Verb, o.Decisions) }

// oracle notes what is held now.
func (w *world) oracle() oracle {
	held := w.tasks()
	return oracle{held: func(l string) bool { return held[l] }, loose: map[string]bool{}}
}

// after notes what is there after a commit. Who waited for a key and has got
// it may be held now.
func (w *world) after(o oracle) oracle {
	there := w.tasks()
	for l, held := range there {
		if held && !o.held(l) {
			o.loose[l] = true
		}
	}
	o.exists = func(l string) bool { _, ok := there[l]; return ok }
	return o
}

// tasks lists the messages that are there, and whether they are held.
func (w *world) tasks() map[string]bool {
	held := map[string]bool{}
	for _, m := range w.find(store.Query{Messages: &store.MessageQuery{}}).Messages {
		if m.Kind == store.Task {
			held[w.labelOf(m)] = m.Held() || m.Lent
		}
	}
	return held
}

// effect is what an outcome, if it is applied, does to the model. It is
// called before the commit and reads what will be gone after it.
func (w *world) effect(h *hand, o *step.Outcome) func() {
	switch o.Verb {
	case step.Begin:
		return func() {
			w.model.runs[o.Start.RunID] = mRun{status: store.Running, onDead: o.Start.OnDead}
			w.model.tasks[string(o.Start.Input)] = mTask{run: o.Start.RunID}
		}
	case step.Insert:
		return func() { w.model.tasks[string(o.Sends[0].Payload)] = mTask{} }
	case step.Abort:
		return func() { w.model.abort(o.Abort.RunID, o.Abort.Cancel) }
	case step.Requeue, step.Discard:
		return w.effectOnDead(o)
	case step.Internal:
		return w.effectOfInternal(o.Message)
	}
	return w.effectOnTask(h, o)
}

func (w *world) effectOnDead(o *step.Outcome) func() {
	var row step.DeadRow
	for _, r := range w.rows(store.Dead) {
		if seq, _ := store.ParseNum(r.Name); seq == o.Dead.Seq {
			w.decode(r, &row)
		}
	}
	at := w.labelOf(&row.Message)
	if o.Verb == step.Discard {
		return func() { w.model.discard(at) }
	}
	return func() { w.model.requeue(at); w.model.look.loose[at] = true }
}

func (w *world) effectOnTask(h *hand, o *step.Outcome) func() {
	at, seq := w.labelOf(o.Message), store.Num(o.Message.Seq)
	loose := func() { w.model.look.loose[at] = true }
	switch o.Verb {
	case step.Done:
		return func() { w.model.done(at, seq, o.Decisions); w.forget(h, o.Message.Seq) }
	case step.Retry:
		if o.Message.Kind != store.Task {
			return func() {}
		}
		return func() { w.model.retry(at); loose(); w.forget(h, o.Message.Seq) }
	case step.Reject:
		return func() { w.model.reject(at); w.forget(h, o.Message.Seq) }
	case step.Drop:
		return func() { w.model.drop(at); w.forget(h, o.Message.Seq) }
	case step.Yield, step.Publish:
		return func() { loose(); delete(h.admitted, o.Message.Seq); w.unstage(o.Message.Seq) }
	case step.Stage:
		return func() { w.model.stage(seq, o.Sends) }
	}
	return func() {} // Admit
}

// forget drops what was kept of a message that has ended, or begins anew.
func (w *world) forget(h *hand, seq int64) {
	delete(h.admitted, seq)
	delete(w.staged, seq)
	delete(w.bad, seq)
	w.model.unstage(store.Num(seq))
}

func (w *world) effectOfInternal(m *store.Message) func() {
	switch m.Kind {
	case store.Release:
		return func() { w.model.release(m.Scope) }
	case store.Emit:
		return func() { w.model.emit(m.Scope, w.model.wide, m.Task) }
	case store.Enlist:
		var row step.JoinRow
		w.must(store.Unmarshal(m.Payload, &row))
		then := string(row.Then.Payload)
		w.joinIDs["#"+row.ID], w.joinIDs[step.ChildID(row.ID, 4)] = then, then
		j := mJoin{
			run: row.RunID, scope: m.Scope, mode: row.Rule.Mode, need: row.Rule.Need, events: row.Rule.Events, only: row.Only, timed: row.Due != 0,
		}
		if row.Else != nil {
			j.els = string(row.Else.Payload)
		}
		return func() { w.model.enlist(then, j) }
	case store.Delist:
		if m.Scope == "" {
			return func() { w.model.homecoming(w.joinIDs[m.ID]) }
		}
		return func() { delete(w.model.wide, w.joinIDs[m.Join]) }
	case store.Tick:
		return w.effectOfTick(m)
	}
	return func() {}
}

func (w *world) effectOfTick(m *store.Message) func() {
	for _, row := range w.rows(store.Join) {
		var j step.JoinRow
		w.decode(row, &j)
		if j.Tick != m.Seq {
			continue
		}
		then := string(j.Then.Payload)
		if m.Scope != "" {
			return func() { w.model.tick(w.model.wide, then) }
		}
		return func() { w.model.tick(w.model.joins, then) }
	}
	return func() {}
}

// compare holds the store to the model, and to its own laws.
//
// M9, F2, N2, H1, H2
func (w *world) compare() {
	if got, want := w.state(), w.model.String(); got != want {
		w.t.Fatalf("the store has\n%s\nthe model has\n%s", got, want)
	}
	report, err := doctor.Examine(context.Background(), w.store, doctor.Options{Looks: 1})
	w.must(err)
	for _, f := range report.Faults() {
		w.t.Fatalf("fault in the store: %s", f)
	}
	w.outcomesAreStoredOnce()
}

// state writes down what is in the store, as the model does.
func (w *world) state() string {
	var runs, rest []string
	for _, r := range w.find(store.Query{Runs: &store.RunQuery{}}).Runs {
		runs = append(runs, fmt.Sprintf("run %s %s open %d waiting %d undos %d\n", r.ID, r.Status, r.Open, r.Waiting, r.Undos))
	}
	tasks := map[string]string{}
	for _, m := range w.find(store.Query{Messages: &store.MessageQuery{}}).Messages {
		if m.Kind == store.Task && m.Task != "" {
			l := w.labelOf(m)
			if other := w.ids[l]; tasks[l] != "" || other != "" && other != m.ID {
				w.t.Fatalf("%s was sent twice: %s and %s", l, m.ID, other)
			}
			w.ids[l], tasks[l] = m.ID, fmt.Sprintf("task %s of %q\n", l, m.RunID)
		}
	}
	joins, wide, dead := map[string]string{}, map[string]string{}, map[string]string{}
	for _, row := range w.rows(store.Join) {
		var j step.JoinRow
		w.decode(row, &j)
		l := string(j.Then.Payload)
		switch {
		case j.Remote != "": // compared by the count of what is open
		case strings.HasPrefix(row.Owner, "@"):
			wide[l] = "wide " + l + "\n"
		default:
			joins[l] = "join " + l + "\n"
		}
	}
	for _, row := range w.rows(store.Dead) {
		var d step.DeadRow
		w.decode(row, &d)
		l := w.labelOf(&d.Message)
		dead[l] = "dead " + l + "\n"
	}
	slices.Sort(runs)
	for _, part := range []map[string]string{tasks, joins, wide, dead} {
		for _, l := range slices.Sorted(maps.Keys(part)) {
			rest = append(rest, part[l])
		}
	}
	return strings.Join(runs, "") + strings.Join(rest, "")
}

// outcomesAreStoredOnce looks through the histories: a message ends once, but
// for a dead letter that was sent again.
//
// M2, R4
func (w *world) outcomesAreStoredOnce() {
	for _, r := range w.find(store.Query{Runs: &store.RunQuery{}}).Runs {
		var pages []step.PageRow
		for i := range r.Pages {
			f := w.find(store.Query{Rows: &store.RowQuery{Kind: store.Page, Owner: step.Owner(r.Key, "")}})
			var p step.PageRow
			w.decode(f.Rows[i], &p)
			pages = append(pages, p)
		}
		entries, err := step.Verify(r, pages)
		w.must(err)
		ended := map[string]bool{}
		attempts := map[string]int{}
		for _, e := range entries {
			switch e.Kind {
			case "step", "late", "dead", "dropped":
				if ended[e.Message] {
					w.t.Fatalf("message %s has two outcomes", e.Message)
				}
				ended[e.Message] = true
			case "attempt":
				if e.Attempt <= attempts[e.Message] {
					w.t.Fatalf("attempt %d of message %s is stored twice", e.Attempt, e.Message)
				}
				attempts[e.Message] = e.Attempt
			case "requeued":
				ended[e.Message] = false
				attempts[e.Message] = 0
			}
		}
	}
}
