package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// committer is the group commit: the first who comes when nobody commits is
// the leader and commits for all that are ready; who comes meanwhile waits,
// and the first of those leads the next batch. On an idle system nobody waits.
type committer struct {
	e     *Engine
	mu    sync.Mutex
	queue []*request
	busy  bool // somebody leads
	ahead int  // batches that are applied and not durable yet
	size  int  // of the last of them
	held  bool // the lead waits for one of them

	told chan struct{} // closed when the batch that was applied last has been told

	ended sync.Pool // of *request: each outcome needs one for a moment
}

// mostAhead is how many batches are on their way at once: one that is applied
// while the one before becomes durable. More would only make them smaller.
const mostAhead = 2

// request is an outcome on its way to the store.
type request struct {
	out   *step.Outcome
	bytes int
	alone bool // commits by itself: in company it failed
	taken bool // in a batch
	lead  bool // its owner leads the next batch
	wake  chan struct{}
	answer
}

// answer is what became of a request: a verdict, or an error of the store.
type answer struct {
	verdict step.Verdict
	err     error
}

func newCommitter(e *Engine) *committer {
	c := &committer{e: e, told: make(chan struct{})}
	close(c.told)
	return c
}

// one commits an outcome, however long the store is out of reach, until ctx
// ends. The error is then the store's.
func (c *committer) one(ctx context.Context, out *step.Outcome) answer {
	r := c.request(out)
	c.submit(r)
	c.await(ctx, r)
	return c.insist(ctx, out, c.end(r))
}

// all commits outcomes, in one batch where possible. Nothing is tried again
// before all have their answers: any of them may be asked to lead meanwhile.
func (c *committer) all(ctx context.Context, outs []*step.Outcome) []answer {
	reqs := make([]*request, len(outs))
	for i, out := range outs {
		reqs[i] = c.request(out)
	}
	c.submit(reqs...)
	for _, r := range reqs {
		c.await(ctx, r)
	}
	answers := make([]answer, len(outs))
	for i, r := range reqs {
		answers[i] = c.insist(ctx, outs[i], c.end(r))
	}
	return answers
}

// insist tries again while that may help. An outcome that failed although the
// store can be reached goes alone: it must not take others down.
func (c *committer) insist(ctx context.Context, out *step.Outcome, a answer) answer {
	alone := false
	for try := 1; passing(a.err); try++ {
		if alone && errors.Is(a.err, store.ErrCorrupt) || !c.e.health.pause(ctx, try) {
			return a
		}
		r := c.request(out)
		alone = !outage(a.err)
		r.alone = alone
		c.submit(r)
		c.await(ctx, r)
		a = repeated(c.end(r), out)
	}
	return a
}

func (c *committer) request(out *step.Outcome) *request {
	r, ok := c.ended.Get().(*request)
	if !ok {
		r = &request{wake: make(chan struct{}, 1)}
	}
	r.out, r.bytes = out, size(out)
	return r
}

// end returns the answer to a request that was awaited: nobody knows it any
// more.
func (c *committer) end(r *request) answer {
	a := r.answer
	*r = request{wake: r.wake}
	c.ended.Put(r)
	return a
}

// repeated reads the answer to a call that was repeated since the answer to
// the one before was lost: what is there already is then our own.
func repeated(a answer, o *step.Outcome) answer {
	switch {
	case a.err != nil:
	case o.Verb == step.Insert && a.verdict.Code == step.Existed,
		o.Dead != nil && a.verdict.Code == step.Missing:
		a.verdict.Code = step.Applied
	}
	return a
}

// passing reports whether trying again may help. An outage passes, also one
// that a driver saw as the end of a deadline of its own.
func passing(err error) bool {
	return err != nil && !errors.Is(err, store.ErrClosed) && !errors.Is(err, store.ErrSchema) &&
		(outage(err) || !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded))
}

// outage reports whether err says that the store is out of reach, and nothing
// of what it was given.
func outage(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown)
}

// submit queues requests. Each must be awaited.
func (c *committer) submit(reqs ...*request) {
	if len(reqs) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, reqs...)
	if c.held && c.mayOverlap() {
		c.held = false
		c.passOn()
	}
	if !c.busy {
		c.busy = true
		c.queue[0].appoint()
	}
}

// appoint makes r's owner lead the next batch.
func (r *request) appoint() {
	r.lead = true
	r.wake <- struct{}{}
}

// await blocks until r has its answer, leading a batch when it is r's turn.
// Once r is in a batch, ctx is not heeded: what happened is about to be known.
func (c *committer) await(ctx context.Context, r *request) {
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			if c.withdraw(r) {
				r.err = ctx.Err()
				return
			}
			<-r.wake
		}
		if !r.lead {
			return
		}
		r.lead = false
		c.leadBatch(r)
		if r.taken {
			return
		}
	}
}

// withdraw takes r out of the queue unless it is being committed, or leads.
func (c *committer) withdraw(r *request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.taken || r.lead {
		return false
	}
	for i, q := range c.queue {
		if q == r {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			return true
		}
	}
	return false
}

// leadBatch commits what is ready. The lead is passed on as soon as the store
// can take the next batch, which may be before this one is durable.
func (c *committer) leadBatch(leader *request) {
	if c.crowded() {
		runtime.Gosched()
	}
	batch := c.take()
	outs := make([]*step.Outcome, len(batch))
	for i, r := range batch {
		outs[i] = r.out
	}
	res, err := c.e.apply(outs, c.applied)
	c.settled()
	for i, r := range batch {
		if r.err = err; err == nil {
			r.verdict = res.Verdicts[i]
		}
		if r != leader {
			r.wake <- struct{}{}
		}
	}
}

// applied makes the first who waits the next leader, unless enough batches are
// on their way. before is closed once the batch before has been told; told is
// to be closed once this one was.
func (c *committer) applied() (before <-chan struct{}, told chan<- struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine := make(chan struct{})
	before, told, c.told = c.told, mine, mine
	c.ahead++
	if c.held = !c.mayOverlap(); !c.held {
		c.passOn()
	}
	return before, told
}

// mayOverlap reports whether the next batch may set off before those on their
// way are durable: if it is no smaller than they are. A commit costs the same
// whatever is in it, so small ones that overlap get in each other's way. Those
// of other processes overlap anyway.
func (c *committer) mayOverlap() bool {
	return c.ahead < mostAhead && !c.e.company.Load() && len(c.queue) >= min(c.size, c.e.cfg.Batch)
}

// settled ends what applied began.
func (c *committer) settled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead--
	if c.held {
		c.held = false
		c.passOn()
	}
}

func (c *committer) passOn() {
	if len(c.queue) == 0 {
		c.busy = false
		return
	}
	c.queue[0].appoint()
}

// crowded reports whether the last batch was of several. Those whom it let go on
// are about to come back then: a leader who lets them run first takes them along.
func (c *committer) crowded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size > 1
}

func (c *committer) take() []*request {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, bytes := 0, 0
	for n < len(c.queue) && n < c.e.cfg.Batch && (n == 0 || bytes+c.queue[n].bytes <= c.e.cfg.BatchBytes) {
		if c.queue[n].alone && n > 0 {
			break
		}
		bytes += c.queue[n].bytes
		c.queue[n].taken = true
		n++
		if c.queue[n-1].alone {
			break
		}
	}
	c.size = n
	batch := append([]*request(nil), c.queue[:n]...)
	rest := copy(c.queue, c.queue[n:])
	clear(c.queue[rest:])
	c.queue = c.queue[:rest]
	return batch
}

// folding is a fold on its way through a commit.
type folding struct {
	keys   store.Keys
	decide store.Decide
	res    *step.Result // of the last call of decide
}

// fold prepares the fold of outcomes. Those of messages that an earlier worker
// of this process held, before it lost its lease, are left out: by now the
// message may be held anew, for another execution.
func (e *Engine) fold(outs []*step.Outcome, env step.Env) *folding {
	mine := outs
	if slices.ContainsFunc(outs, func(o *step.Outcome) bool { return lapsed(o, env.Worker) }) {
		mine = slices.DeleteFunc(slices.Clone(outs), func(o *step.Outcome) bool { return lapsed(o, env.Worker) })
	}
	f := &folding{keys: step.Reads(mine, env.Worker, env.Lane)}
	f.decide = func(snap *store.Snapshot) *store.Changes {
		var changes *store.Changes
		changes, f.res = step.Fold(snap, mine, env)
		if len(mine) < len(outs) && f.res != nil {
			f.res.Verdicts = withLapsed(f.res.Verdicts, outs, env.Worker)
		}
		if f.res != nil && len(f.res.Published) > 0 {
			changes.Publish = e.cfg.Relay.InCommit(f.res.Published)
		}
		return changes
	}
	return f
}

// lapsed reports whether an outcome's message was held by another worker.
func lapsed(o *step.Outcome, worker int64) bool {
	return o.Message != nil && o.Message.Worker != worker
}

// withLapsed adds the verdicts on what was left out.
func withLapsed(verdicts []step.Verdict, outs []*step.Outcome, worker int64) []step.Verdict {
	all := make([]step.Verdict, len(outs))
	for i, o := range outs {
		if lapsed(o, worker) {
			all[i].Code = step.LeaseLost
			continue
		}
		all[i], verdicts = verdicts[0], verdicts[1:]
	}
	return all
}

// apply commits outcomes, and hands over what that brought forth. applied is
// called once the store can take another commit. What a commit brought forth
// is told after what those before it did: a run's messages before its end. The
// context is not any caller's: one must not end the commit of all.
func (e *Engine) apply(outs []*step.Outcome, applied func() (before <-chan struct{}, told chan<- struct{})) (*step.Result, error) {
	defer e.flights.begin().land()
	f := e.fold(outs, e.env())
	settle, err := e.commitAhead(context.Background(), f.keys, f.decide)
	before, told := applied()
	defer close(told)
	if err == nil && settle != nil {
		err = settle()
	}
	<-before
	e.health.note(err)
	if err != nil {
		e.lost.raise()
		return nil, fmt.Errorf("commit: %w", err)
	}
	e.deliver(f.res)
	return f.res, nil
}

// commitAhead commits by way of the store's pipeline, if it has one.
func (e *Engine) commitAhead(ctx context.Context, keys store.Keys, decide store.Decide) (settle func() error, err error) {
	if p, ok := e.store.(store.Pipelined); ok {
		return p.CommitAhead(ctx, keys, decide)
	}
	return nil, e.store.Commit(ctx, keys, decide)
}

func (e *Engine) env() step.Env {
	return step.Env{
		Worker: e.worker.Load(), Lane: e.lane.Add(1) % step.OwnLanes, Host: e.me.Host, PID: e.me.PID, Room: e.queues.room(true), Keep: e.cfg.Hold / 2, Limits: e.cfg.Limits,
		ScopeRetention: store.Instant(e.cfg.ScopeRetention.Microseconds()),
		Retention:      store.Instant(e.cfg.InboxRetention.Microseconds()),
		Broker:         e.broker(),
	}
}

// envTx is env for a commit inside a transaction that may last: it counts where
// no group commit does, and always in the same place.
func (e *Engine) envTx(tx *sql.Tx) step.Env {
	env := e.env()
	env.Lane = step.OwnLanes + int64(maphash.Comparable(txSeed, tx)>>1)%txLanes
	return env
}

// txLanes is how many places there are for transactions to count in.
const txLanes = 1000

var txSeed = maphash.MakeSeed()

// deliver tells this process what a commit brought forth.
func (e *Engine) deliver(res *step.Result) {
	e.queues.push(res.Held, verbOf)
	e.queues.dropRuns(res.Stopped)
	e.waiters.tell(res.Ended)
	e.noteFree(res.Free)
	if e.cfg.Relay != nil {
		e.publish(res)
	}
}

// verbOf says how a message is carried out: by a handler, or by the engine.
func verbOf(m *store.Message) step.Verb {
	if m.Kind == store.Task {
		return step.Done
	}
	return step.Internal
}

// size estimates what an outcome adds to a commit, in bytes.
func size(o *step.Outcome) int {
	n := 512
	if o.Start != nil {
		n += len(o.Start.Input)
	}
	for i := range o.Sends {
		n += 256 + len(o.Sends[i].Payload)
	}
	for _, d := range o.Decisions {
		switch d := d.(type) {
		case step.Send:
			n += 256 + len(d.Payload)
		case *step.Fork:
			for i := range d.Sends {
				n += 256 + len(d.Sends[i].Payload)
			}
		case step.Emit:
			n += 256 + len(d.Data)
		case step.SetState:
			n += 2 * len(d.Data)
		default:
			n += 256
		}
	}
	return n
}

// Commit stores an outcome that is about no message of the caller's (a start,
// an insertion, an abort, a dead letter), as long as ctx lasts. It checks the
// limits before anything is written: then the error wraps step.ErrTooLarge or
// step.ErrBadName. Any other error is the store's, and whether the outcome is
// stored is then unknown; calling again with the same ids settles it.
func (e *Engine) Commit(ctx context.Context, out *step.Outcome) (step.Verdict, error) {
	if err := e.cfg.Limits.Check(out); err != nil {
		return step.Verdict{}, err
	}
	if out.Source != nil && out.Source.Retention == 0 {
		out.Source.Retention = e.cfg.InboxRetention
	}
	a := e.commits.one(ctx, out)
	return a.verdict, a.err
}

// health remembers whether the store answers, to say so once.
type health struct {
	log  interface{ Warn(string, ...any) }
	mu   sync.Mutex
	bad  bool
	at   time.Time // when it became so
	well time.Time // since when it answers, nevertheless; zero: it does not
}

// steady is how long the store must answer until it is back: the connections
// that an outage broke fail one by one, when they are used.
const steady = time.Second

func (h *health) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil && !passing(err):
	case err != nil && h.bad:
		h.well = time.Time{}
	case err != nil:
		h.bad, h.at, h.well = true, time.Now(), time.Time{}
		h.log.Warn("millrace: the store does not answer; work pauses", "error", err)
	case h.bad && h.well.IsZero():
		h.well = time.Now()
	case h.bad && time.Since(h.well) >= steady:
		h.bad = false
		h.log.Warn("millrace: the store is back", "after", h.well.Sub(h.at).Round(time.Millisecond))
	}
}
