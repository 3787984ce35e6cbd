package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Config sets up an [Engine]. Only Store is required.
type Config struct {
	Store store.Store

	Lease          time.Duration // how long a worker lives without a heartbeat; default 30 s
	Poll           time.Duration // safety net: how often an idle worker looks for work of other processes; default 1 s
	Hold           int           // most messages of a topic that wait in memory for a handler; default 1024
	HoldBytes      int           // most bytes of them; default 32 MiB
	Batch          int           // most outcomes in a commit; default 512
	BatchBytes     int           // most bytes of them; default 4 MiB
	ScopeRetention time.Duration // how long a wider scope lives after its last use; default 7 days
	InboxRetention time.Duration // how long ids from outside are remembered; default 7 days
	Drain          time.Duration // how long stopping waits for handlers; default 30 s
	Limits         step.Limits   // zero fields take their defaults

	// Keyed says whether a message's task is of a stateful saga, or has an
	// exclusive key. Nil: none is.
	Keyed func(*store.Message) (step.Keying, error)

	Relay     Relay         // carries messages to tasks through a broker; nil: none does
	Local     bool          // what this worker can run at once does not travel through the broker
	Republish time.Duration // when what nobody claimed is published again, at first; default 5 s

	Clock clockwork.Clock // for timers; default the machine's
	Log   *slog.Logger    // default slog.Default()
}

func (c Config) withDefaults() Config {
	set(&c.Lease, 30*time.Second)
	set(&c.Poll, time.Second)
	set(&c.Hold, 1024)
	set(&c.HoldBytes, 32<<20)
	set(&c.Batch, 512)
	set(&c.BatchBytes, 4<<20)
	set(&c.ScopeRetention, 7*24*time.Hour)
	set(&c.InboxRetention, 7*24*time.Hour)
	set(&c.Drain, 30*time.Second)
	set(&c.Republish, 5*time.Second)
	c.Limits = c.Limits.WithDefaults()
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

func set[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// Engine runs messages and commits their outcomes. Its methods are safe for
// concurrent use. Commits work before and after [Engine.Run] too; then new
// messages wait in the store.
type Engine struct {
	cfg     Config
	store   store.Store
	log     *slog.Logger
	clock   clockwork.Clock
	me      store.Worker // without Key: that is worker
	worker  atomic.Int64 // key of the live worker, 0 when there is none
	lane    atomic.Int64 // of the last commit
	ahead   atomic.Int64 // microseconds by which the store's clock is ahead of this machine's
	commits *committer
	queues  *queues
	waiters waiters
	flights flights
	grab    *signal // something may be there to grab
	lost    *signal // an answer of the store was lost: compare
	health  health
	name    atomic.Pointer[string] // of the store, once a worker was registered
	known   atomic.Pointer[map[string]bool]

	relaying atomic.Bool // the relay runs
	company  atomic.Bool // the store has other workers

	mu      sync.Mutex
	running bool
	nextDue store.Instant // when the grabber will look by itself; 0: not known
	nudges  int           // quick looks still to take, after a caller's own transaction
}

// New checks cfg and returns an engine that does nothing yet.
func New(cfg Config) (*Engine, error) {
	if cfg.Store == nil {
		return nil, errors.New("engine: no store")
	}
	cfg = cfg.withDefaults()
	e := &Engine{
		cfg: cfg, store: cfg.Store, log: cfg.Log, clock: cfg.Clock, me: thisProcess(),
		grab: newSignal(), lost: newSignal(),
	}
	e.queues = newQueues(cfg.Hold, cfg.HoldBytes, e.worker.Load, e.grab.raise, e.lost.raise)
	e.queues.host(store.Internal, 1<<30)
	e.commits = newCommitter(e)
	e.health.log = cfg.Log
	e.known.Store(&map[string]bool{})
	return e, nil
}

// Host makes this worker take the messages of a topic, at most concurrency of
// them at once; hosting it again adds to that. Somebody must call Next for it.
func (e *Engine) Host(topic string, concurrency int) {
	e.queues.host(topic, concurrency)
	e.Know(topic)
	e.grab.raise()
}

// HostAway makes this worker take the messages of a topic in order to publish
// them: few at once, and none is born held for it.
func (e *Engine) HostAway(topic string) {
	e.queues.hostAway(topic)
	e.Know(topic)
	e.grab.raise()
}

// Unhost undoes one Host. Messages that wait in memory, and that nobody here
// hosts any more, are given back.
func (e *Engine) Unhost(topic string, concurrency int) {
	var outs []*step.Outcome
	for _, it := range e.queues.unhost(topic, concurrency) {
		outs = append(outs, &step.Outcome{Verb: step.Yield, Message: it.m})
	}
	e.commits.all(context.Background(), outs)
}

// StoreName returns the name that the store was given when it was made, once
// Run has registered a worker.
func (e *Engine) StoreName() string {
	if name := e.name.Load(); name != nil {
		return *name
	}
	return ""
}

// Find lists rows of the store.
func (e *Engine) Find(ctx context.Context, q store.Query) (store.Found, error) {
	return e.store.Find(ctx, q)
}

// Store returns the store that the engine was made with.
func (e *Engine) Store() store.Store { return e.store }

// Clock returns the clock of the engine's timers.
func (e *Engine) Clock() clockwork.Clock { return e.clock }

// Worker returns the key of the live worker, 0 while there is none.
func (e *Engine) Worker() int64 { return e.worker.Load() }

// Run registers a worker and works until ctx ends; then it drains: it takes
// no new messages, waits for running handlers as long as Config.Drain allows,
// gives back what was not begun, and signs the worker off. It returns nil
// after a drain, or the error that kept it from starting. It may be called
// once.
func (e *Engine) Run(ctx context.Context) error {
	e.mu.Lock()
	if e.running {
		e.mu.Unlock()
		return errors.New("engine: Run was called twice")
	}
	e.running = true
	e.mu.Unlock()

	if err := e.register(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return fmt.Errorf("engine: register worker: %w", err)
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var all sync.WaitGroup
	for _, loop := range []func(context.Context){e.grabLoop, e.heartLoop, e.reapLoop, e.reconcileLoop} {
		all.Go(func() { loop(work) })
	}
	if w, ok := e.store.(store.Waker); ok {
		all.Go(func() { e.wakeLoop(work, w) })
	}
	inner, stopInner := context.WithCancel(context.WithoutCancel(ctx))
	defer stopInner()
	var internals sync.WaitGroup
	internals.Go(func() { e.internalLoop(inner) })

	relaying, stopRelay := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRelay()
	all.Go(func() { e.relay(relaying, ctx) })

	<-ctx.Done()
	e.queues.close()
	e.awaitHandlers()
	stopInner()
	internals.Wait()
	stopRelay()
	stop()
	all.Wait()
	e.signOff(context.WithoutCancel(ctx))
	return nil
}

// awaitHandlers blocks until no handler runs, or the drain's time is up; then
// it cancels the handlers' contexts.
func (e *Engine) awaitHandlers() {
	timer := e.clock.NewTimer(e.cfg.Drain)
	defer timer.Stop()
	select {
	case <-e.queues.idle():
		return
	case <-timer.Chan():
	}
	n := e.queues.abandon()
	if n > 0 {
		e.log.Warn("millrace: handlers did not end in time; others will run their messages again", "handlers", n, "drain", e.cfg.Drain)
	}
}

// signOff gives back what was not begun and closes the worker.
func (e *Engine) signOff(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var outs []*step.Outcome
	for _, it := range e.queues.takeAll() {
		outs = append(outs, &step.Outcome{Verb: step.Yield, Message: it.m})
	}
	e.commits.all(ctx, outs)
	key := e.worker.Swap(0)
	var err error
	for try := range signOffTries {
		if err = e.closeMe(ctx, key); err == nil {
			return
		}
		e.health.pause(ctx, try)
	}
	e.log.Warn("millrace: worker could not sign off; its lease will end", "worker", key, "error", err)
}

// signOffTries is how often a worker tries to sign off: for a third of a
// second, should the store be out of reach.
const signOffTries = 5

// closeMe closes the worker and frees what it still holds.
func (e *Engine) closeMe(ctx context.Context, key int64) error {
	r := store.Reap{Workers: []int64{key}, Limit: reapPiece}
	for {
		got, err := e.store.Reap(ctx, r)
		if err != nil {
			return err
		}
		if r.After = got.Next; r.After == 0 {
			return nil
		}
	}
}

// internalLoop carries out the messages that have no handler.
func (e *Engine) internalLoop(ctx context.Context) {
	for {
		items, err := e.queues.nextBatch(ctx, store.Internal, 64)
		if err != nil {
			return
		}
		outs := make([]*step.Outcome, len(items))
		for i, it := range items {
			outs[i] = &step.Outcome{Verb: it.verb, Message: it.m}
		}
		call := e.flights.begin()
		for i, res := range e.commits.all(ctx, outs) {
			e.endInternal(outs[i], res)
		}
		call.land()
	}
}

// endInternal parks an internal message that can't be carried out: it is
// tried again later, since a damaged row must not spin.
func (e *Engine) endInternal(o *step.Outcome, res answer) {
	defer e.queues.done(o.Message)
	if res.err == nil && res.verdict.Code == step.Invalid {
		e.log.Error("millrace: internal message can't be carried out", "message", o.Message.ID, "kind", o.Message.Kind, "run", o.Message.RunID, "error", res.verdict.Err)
		retry := &step.Outcome{
			Verb: step.Retry, Message: o.Message, Delay: time.Minute, Failure: step.FailureOf(res.verdict.Err),
		}
		e.commits.all(context.Background(), []*step.Outcome{retry})
	}
}
