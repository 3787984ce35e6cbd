package engine

import (
	"context"
	"errors"
	"fmt"
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
	busy  bool
}

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

func newCommitter(e *Engine) *committer { return &committer{e: e} }

// one commits an outcome, however long the store is out of reach, until ctx
// ends. The error is then the store's.
func (c *committer) one(ctx context.Context, out *step.Outcome) answer {
	return c.all(ctx, []*step.Outcome{out})[0]
}

// all commits outcomes, in one batch where possible.
func (c *committer) all(ctx context.Context, outs []*step.Outcome) []answer {
	answers := make([]answer, len(outs))
	open := make([]int, len(outs))
	for i := range open {
		open[i] = i
	}
	alone := false
	for try := 0; len(open) > 0; try++ {
		reqs := make([]*request, len(open))
		for i, n := range open {
			reqs[i] = &request{out: outs[n], bytes: size(outs[n]), alone: alone, wake: make(chan struct{}, 1)}
		}
		c.submit(ctx, reqs)
		var again []int
		for i, n := range open {
			answers[n] = settled(reqs[i].answer, outs[n], try)
			if passing(answers[n].err) {
				again = append(again, n)
				alone = alone || !outage(answers[n].err)
			}
		}
		if open = again; len(open) == 0 || !c.e.health.pause(ctx, try) {
			break
		}
	}
	return answers
}

// settled reads the answer to a call that was repeated since the answer to
// the one before was lost: what is there already is then our own.
func settled(a answer, o *step.Outcome, try int) answer {
	if try == 0 || a.err != nil {
		return a
	}
	switch {
	case o.Verb == step.Insert && a.verdict.Code == step.Existed,
		o.Dead != nil && a.verdict.Code == step.Missing:
		a.verdict.Code = step.Applied
	}
	return a
}

// passing reports whether trying again may help.
func passing(err error) bool {
	return err != nil && !errors.Is(err, store.ErrClosed) && !errors.Is(err, store.ErrSchema) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// outage reports whether err says that the store is out of reach, and nothing
// of what it was given.
func outage(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown)
}

// submit queues requests and blocks until each has its answer.
func (c *committer) submit(ctx context.Context, reqs []*request) {
	c.mu.Lock()
	c.queue = append(c.queue, reqs...)
	if !c.busy {
		c.busy = true
		reqs[0].lead = true
		reqs[0].wake <- struct{}{}
	}
	c.mu.Unlock()
	for _, r := range reqs {
		c.await(ctx, r)
	}
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

// leadBatch commits what is ready and passes the lead on.
func (c *committer) leadBatch(leader *request) {
	batch := c.take()
	c.commit(batch)
	c.mu.Lock()
	if len(c.queue) == 0 {
		c.busy = false
	} else {
		next := c.queue[0]
		next.lead = true
		next.wake <- struct{}{}
	}
	c.mu.Unlock()
	for _, r := range batch {
		if r != leader {
			r.wake <- struct{}{}
		}
	}
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
	batch := append([]*request(nil), c.queue[:n]...)
	rest := copy(c.queue, c.queue[n:])
	clear(c.queue[rest:])
	c.queue = c.queue[:rest]
	return batch
}

// commit folds and stores a batch, and hands over what it brought forth. The
// context is not any caller's: one must not end the commit of all.
func (c *committer) commit(batch []*request) {
	outs := make([]*step.Outcome, len(batch))
	for i, r := range batch {
		outs[i] = r.out
	}
	res, err := c.e.apply(func(ctx context.Context, keys store.Keys, decide store.Decide) error {
		return c.e.store.Commit(ctx, keys, decide)
	}, outs)
	for i, r := range batch {
		if err != nil {
			r.err = err
			continue
		}
		r.verdict = res.Verdicts[i]
	}
	if err == nil {
		c.e.deliver(res)
	}
}

// apply folds outcomes in one commit.
func (e *Engine) apply(commit func(context.Context, store.Keys, store.Decide) error, outs []*step.Outcome) (*step.Result, error) {
	env := e.env()
	var res *step.Result
	err := commit(context.Background(), step.Reads(outs, env.Worker), func(snap *store.Snapshot) *store.Changes {
		var changes *store.Changes
		changes, res = step.Fold(snap, outs, env)
		return changes
	})
	e.health.note(err)
	if err != nil {
		e.lost.raise()
		return nil, fmt.Errorf("commit: %w", err)
	}
	return res, nil
}

func (e *Engine) env() step.Env {
	return step.Env{
		Worker: e.worker.Load(), Host: e.me.Host, PID: e.me.PID, Room: e.queues.room(true), Limits: e.cfg.Limits,
		ScopeRetention: store.Instant(e.cfg.ScopeRetention.Microseconds()),
	}
}

// deliver tells this process what a commit brought forth.
func (e *Engine) deliver(res *step.Result) {
	e.queues.push(res.Held, verbOf)
	e.queues.dropRuns(res.Stopped)
	e.waiters.tell(res.Ended)
	e.noteFree(res.Free)
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
	log interface{ Warn(string, ...any) }
	mu  sync.Mutex
	bad bool
	at  time.Time
}

func (h *health) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil && !h.bad && passing(err):
		h.bad, h.at = true, time.Now()
		h.log.Warn("millrace: the store does not answer; work pauses", "error", err)
	case err == nil && h.bad:
		h.bad = false
		h.log.Warn("millrace: the store is back", "after", time.Since(h.at).Round(time.Millisecond))
	}
}
