package step_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

// A few hundred random worlds each time; -rapid.checks says how many else.
func init() { _ = flag.Set("rapid.checks", "200") }

// Whatever steps decide, in whatever order and batches their outcomes come,
// whoever crashes in between, and whatever is repeated: after each commit the
// store has what the model has, and its own laws hold.
//
// M1, M2, M3, M4, M5, M9
// F1, F2, F3, F4, F6, F7, F8, F9
// T1, T2, R1, R4, C1, N1, N2, N3, H1, H2
func TestRandomPrograms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.broker = w.plan.chance(50) // M11: envelopes are claimed, or lost
		w.lends = w.plan.chance(50)
		w.begin()
		for range w.plan.number(1, 60) {
			w.act()
		}
		w.rest()
	})
}

// act does one thing that can happen in a world.
func (w *world) act() {
	h := one(&w.plan, w.workers)
	switch n := w.plan.number(0, 99); {
	case n < 62:
		w.work(h, w.plan.number(1, 4))
	case n < 76:
		w.grab(h, w.plan.number(1, 3))
	case n < 82:
		w.clock.Advance(time.Duration(w.plan.number(1, 100)) * time.Second)
	case n < 87:
		w.crash(h)
	case n < 89:
		w.ghost()
	case n < 91:
		w.claim(h)
	case n < 94:
		w.deadLetter(h)
	case n < 96:
		w.abort(h)
	default:
		w.begin()
	}
}

func (w *world) begin() {
	w.begun++
	h := w.workers[0]
	if w.plan.chance(20) {
		w.do(h, []*step.Outcome{{Verb: step.Insert, Sends: []step.Send{w.plan.send()}, Source: &step.Source{Consumer: "c", ID: fmt.Sprint(w.begun)}}})
		return
	}
	onDead := one(&w.plan, []step.OnDead{step.LeaveOpen, step.FailRun, step.Compensate})
	start := &step.Start{RunID: fmt.Sprint("r", w.begun), Task: "s/t", Input: w.plan.label(), Nonce: "n", OnDead: onDead}
	w.do(h, []*step.Outcome{{Verb: step.Begin, Start: start}})
}

func (w *world) grab(h *hand, n int) int {
	g, err := w.store.Grab(context.Background(), store.Grab{Worker: h.key, Topics: []string{"s", store.Internal}, Limit: n})
	w.must(err)
	for _, m := range g.Messages {
		if m.Due > g.Now {
			w.t.Fatalf("message %s is due at %d and was given out at %d", m.ID, m.Due, g.Now)
		}
	}
	return len(g.Messages)
}

// claim takes what envelopes have brought: some of what was published.
func (w *world) claim(h *hand) {
	var seqs []int64
	for _, m := range w.find(store.Query{Messages: &store.MessageQuery{}}).Messages {
		if m.Topic == "s" && w.plan.chance(50) { // also copies of what is held, and waits
			seqs = append(seqs, m.Seq)
		}
	}
	if len(seqs) == 0 {
		return
	}
	g, err := w.store.Grab(context.Background(), store.Grab{Worker: h.key, Seqs: seqs, Limit: len(seqs)})
	w.must(err)
	for _, m := range g.Messages {
		if m.Due > g.Now && m.Published == 0 {
			w.t.Fatalf("message %s is due at %d and was claimed at %d", m.ID, m.Due, g.Now)
		}
	}
}

// crash closes a worker. What it was about to commit comes too late.
func (w *world) crash(h *hand) {
	for _, m := range w.held(h) {
		w.past = append(w.past, attempt{h.key, &step.Outcome{Verb: step.Done, Message: m, Decisions: []step.Decision{w.plan.send()}}})
		w.unstage(m.Seq)
	}
	_, err := w.store.Reap(context.Background(), store.Reap{Workers: []int64{h.key}, Limit: 1 << 20})
	w.must(err)
	*h = *w.newHand()
}

// unstage is what a handler knows of its chunks after a crash: nothing.
func (w *world) unstage(seq int64) {
	delete(w.staged, seq)
	w.model.unstage(store.Num(seq))
}

// ghost commits again what was committed before, or what a closed worker had
// left to commit, unless the same worker has the message once more.
func (w *world) ghost() {
	if len(w.past) == 0 {
		return
	}
	p := one(&w.plan, w.past)
	if p.out.Message == nil {
		return
	}
	f := w.find(store.Query{Messages: &store.MessageQuery{Seqs: []int64{p.out.Message.Seq}}})
	if len(f.Messages) > 0 && f.Messages[0].Worker == p.worker {
		return
	}
	want := step.LeaseLost
	if len(f.Messages) == 0 {
		want = step.Duplicate
	}
	if v := w.commit(p.worker, 3, []*step.Outcome{p.out}).Verdicts[0]; v.Code != want {
		w.t.Fatalf("ghost of %s: %s, want %s", describe(p.out), v.Code, want)
	}
	w.compare()
}

func (w *world) held(h *hand) []*store.Message {
	return w.find(store.Query{Messages: &store.MessageQuery{Worker: h.key}}).Messages
}

// work ends up to n messages that a worker holds, in one commit.
func (w *world) work(h *hand, n int) {
	held := w.held(h)
	if len(held) == 0 && w.grab(h, n) > 0 {
		held = w.held(h)
	}
	var batch []*step.Outcome
	for range n {
		if len(held) == 0 {
			break
		}
		i := w.plan.number(0, len(held)-1)
		batch = append(batch, w.outcome(h, held[i]))
		held = slices.Delete(held, i, i+1)
	}
	if len(batch) > 0 {
		w.told(h, batch, w.do(h, batch))
	}
}

// told keeps what verdicts say.
func (w *world) told(h *hand, batch []*step.Outcome, verdicts []step.Verdict) {
	for i, v := range verdicts {
		o := batch[i]
		if o.Verb == step.Stage && v.Code == step.Applied {
			w.staged[o.Message.Seq] = append(w.staged[o.Message.Seq], o.Sends)
		}
		if o.Verb == step.Admit && v.Code == step.Applied {
			w.admitted(h, v.Message)
		}
	}
}

// admitted checks that nobody else has the key.
//
// C2
func (w *world) admitted(h *hand, m *store.Message) {
	for _, other := range w.workers {
		for seq, has := range other.admitted {
			if has.Key == m.Key && seq != m.Seq {
				w.t.Fatalf("messages %d and %d both have key %s", seq, m.Seq, m.Key)
			}
		}
	}
	h.admitted[m.Seq] = m
}

// outcome draws how a held message ends.
func (w *world) outcome(h *hand, m *store.Message) *step.Outcome {
	failure := &step.Failure{Text: "drawn"}
	delay := time.Duration(w.plan.number(0, 30)) * time.Second
	if m.Kind != store.Task {
		if w.plan.chance(4) {
			return &step.Outcome{Verb: step.Retry, Message: m, Delay: delay, Failure: failure}
		}
		return &step.Outcome{Verb: step.Internal, Message: m}
	}
	if w.bad[m.Seq] != nil {
		return &step.Outcome{Verb: step.Reject, Message: m, Failure: failure}
	}
	if r := w.model.runs[m.RunID]; m.Run != 0 && r.status.Stopped() && m.Undo == 0 && w.plan.chance(50) {
		return &step.Outcome{Verb: step.Drop, Message: m}
	}
	if m.Key != "" && h.admitted[m.Seq] == nil {
		return &step.Outcome{Verb: step.Admit, Message: m, Key: m.Key}
	}
	n := w.plan.number(0, 99)
	switch {
	case n < 8:
		return &step.Outcome{Verb: step.Retry, Message: m, Delay: delay, Failure: failure}
	case w.program != nil:
		return &step.Outcome{Verb: step.Done, Message: m, Decisions: w.program.of(m, w.labelOf(m))}
	case n < 14:
		return &step.Outcome{Verb: step.Reject, Message: m, Failure: failure}
	case n < 18 && w.broker && h.admitted[m.Seq] == nil && w.plan.chance(50):
		return &step.Outcome{Verb: step.Publish, Message: m}
	case n < 18:
		return &step.Outcome{Verb: step.Yield, Message: m}
	case n < 24 && w.plan.labels < w.plan.most:
		return &step.Outcome{Verb: step.Stage, Message: m, Chunk: len(w.staged[m.Seq]), Sends: append(w.plan.sends(2), w.plan.send())}
	}
	return &step.Outcome{Verb: step.Done, Message: m, Decisions: w.plan.decisions(m, w.staged[m.Seq])}
}

func (w *world) deadLetter(h *hand) {
	rows := w.rows(store.Dead)
	if len(rows) == 0 {
		return
	}
	seq, _ := store.ParseNum(one(&w.plan, rows).Name)
	verb := one(&w.plan, []step.Verb{step.Requeue, step.Discard})
	w.do(h, []*step.Outcome{{Verb: verb, Dead: &step.DeadOp{Seq: seq}}})
}

func (w *world) abort(h *hand) {
	if len(w.model.runs) == 0 {
		return
	}
	run := one(&w.plan, sorted(w.model.runs))
	w.do(h, []*step.Outcome{{Verb: step.Abort, Abort: &step.AbortOp{RunID: run, Cancel: w.plan.chance(50), Reason: "drawn"}}})
}

// rest lets the world come to rest: no new work, time passes, dead letters
// are given up, and open runs are cancelled. Then nothing is left over.
//
// M9, H4
func (w *world) rest() {
	h := w.workers[0]
	w.crash(w.workers[1])
	w.plan.most = 0
	w.settleDown(h)
	for range 3 {
		for _, row := range w.rows(store.Dead) {
			seq, _ := store.ParseNum(row.Name)
			w.do(h, []*step.Outcome{{Verb: step.Discard, Dead: &step.DeadOp{Seq: seq}}})
		}
		w.settleDown(h)
		for _, id := range sorted(w.model.runs) {
			w.do(h, []*step.Outcome{{Verb: step.Abort, Abort: &step.AbortOp{RunID: id}}})
		}
		w.settleDown(h)
	}
	w.nothingIsLeft()
}

// settleDown ends all that is due, until nothing will ever be.
func (w *world) settleDown(h *hand) {
	for range 2000 {
		w.grab(h, 100)
		held := w.held(h)
		if len(held) == 0 && !w.wait(h) {
			return
		}
		for _, m := range held {
			w.finish(h, m)
		}
	}
	w.t.Fatal("the world does not come to rest")
}

func (w *world) finish(h *hand, m *store.Message) {
	o := &step.Outcome{Verb: step.Done, Message: m}
	if w.program != nil && m.Kind == store.Task {
		o.Decisions = w.program.of(m, w.labelOf(m))
	}
	switch {
	case m.Kind != store.Task:
		o.Verb = step.Internal
	case m.Key != "" && h.admitted[m.Seq] == nil:
		o.Verb, o.Key = step.Admit, m.Key
	}
	w.told(h, []*step.Outcome{o}, w.do(h, []*step.Outcome{o}))
}

// wait lets the time pass until something falls due.
func (w *world) wait(h *hand) bool {
	g, err := w.store.Grab(context.Background(), store.Grab{Worker: h.key, Topics: []string{"s", store.Internal}})
	w.must(err)
	if g.Next == 0 || g.Next.Sub(g.Now) > 30*24*time.Hour {
		return false
	}
	w.clock.Advance(g.Next.Sub(g.Now))
	return true
}

func (w *world) nothingIsLeft() {
	for _, m := range w.find(store.Query{Messages: &store.MessageQuery{}}).Messages {
		if m.Kind != store.Expire && m.Task != "" || m.Kind == store.Tick {
			w.t.Fatalf("left over: %s %+v", m.Kind, m)
		}
	}
	for _, r := range w.find(store.Query{Runs: &store.RunQuery{}}).Runs {
		if !r.Status.Closed() || r.Open != 0 || r.Dead != 0 || r.Waiting != 0 {
			w.t.Fatalf("run %s is %s, open %d, dead %d", r.ID, r.Status, r.Open, r.Dead)
		}
	}
	w.clock.Advance(time.Hour)
	for {
		n, err := w.store.Purge(context.Background(), store.Purge{EndedBefore: w.clock.Instant(), Limit: 100})
		w.must(err)
		if n == 0 {
			break
		}
	}
	for kind := store.Page; kind <= store.Edit; kind++ {
		for _, row := range w.rows(kind) {
			if kind != store.Counter && kind != store.Scope && kind != store.Event {
				w.t.Fatalf("left over: %s", row.RowKey)
			}
		}
	}
}
