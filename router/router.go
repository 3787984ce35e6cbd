package router

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/engine"
	"github.com/millrace-go/millrace/middleware"
	"github.com/millrace-go/millrace/relay"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/native"
)

// Router runs sagas and plain Watermill handlers. It is a [saga.Host]. Its
// methods are safe for concurrent use, but handlers are to be added before
// Run.
type Router struct {
	cfg    Config
	store  store.Store
	broker transports.Transport
	engine *engine.Engine
	relay  *relay.Relay // nil without a broker
	own    bool         // the store was opened here

	mu       sync.Mutex
	tasks    map[string]saga.Binding
	services map[string]bool // of the tasks
	plain    []plainHandler
	extra    []message.HandlerMiddleware
	mistakes []error
	ran      bool
	running  chan struct{}
}

type plainHandler struct {
	name, from, to string
	fn             message.HandlerFunc
}

var _ saga.Host = (*Router)(nil)

// New opens what cfg names and checks that it can be used; it starts nothing.
// Runs can be started at once; their messages wait until some process runs
// their service. The caller must Close the Router. Each error says in one
// line what is wrong and where.
func New(ctx context.Context, cfg Config) (*Router, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	r := &Router{cfg: cfg, tasks: map[string]saga.Binding{}, services: map[string]bool{}, running: make(chan struct{})}
	var err error
	if err = r.openBroker(ctx); err != nil { // first: opening the store may make and migrate it
		return nil, err
	}
	if err = r.openStore(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if err = r.build(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// build puts the engine between store and broker.
func (r *Router) build(ctx context.Context) (err error) {
	cfg := engine.Config{
		Store: r.store, Lease: r.cfg.Lease, Poll: r.cfg.Poll, Drain: r.cfg.Drain, Hold: r.cfg.Hold,
		ScopeRetention: r.cfg.ScopeRetention, InboxRetention: r.cfg.InboxRetention,
		Limits: step.Limits{Payload: r.cfg.PayloadLimit}, Keyed: r.keying, Clock: r.cfg.Clock, Log: r.cfg.Log,
		Republish: r.cfg.Republish, Local: r.cfg.Handover == HandoverLocal,
	}
	if r.broker != nil {
		if r.relay, err = r.newRelay(ctx); err != nil {
			return err
		}
		cfg.Relay = r.relay
	}
	r.engine, err = engine.New(cfg)
	return err
}

// newRelay joins store and broker.
func (r *Router) newRelay(ctx context.Context) (*relay.Relay, error) {
	inCommit := false
	if a, ok := r.broker.(transports.Attacher); ok {
		var err error
		if inCommit, err = a.Attach(ctx, r.store); err != nil {
			return nil, fmt.Errorf("transport %s: %w", redacted(r.cfg.Transport), err)
		}
	}
	return relay.New(relay.Config{
		Transport: r.broker, InCommit: inCommit, Window: r.cfg.Window, Concurrency: r.cfg.Concurrency, Log: r.cfg.Log,
	})
}

// redacted returns a URL without its password.
func redacted(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "of that URL"
	}
	return u.Redacted()
}

// openBroker opens the broker, if there is one.
func (r *Router) openBroker(ctx context.Context) (err error) {
	if r.cfg.Transport == "" {
		return nil
	}
	return r.await(ctx, func() error {
		r.broker, err = transports.Open(ctx, r.cfg.Transport)
		return err
	})
}

// openStore opens the store.
func (r *Router) openStore(ctx context.Context) (err error) {
	if r.store = r.cfg.Opened; r.store != nil {
		return nil
	}
	r.own = true
	return r.await(ctx, func() error {
		r.store, err = store.Open(ctx, r.cfg.Store, r.cfg.storeOptions())
		return err
	})
}

// await tries to open something that may not be there yet, as long as
// Config.Wait allows.
func (r *Router) await(ctx context.Context, open func() error) (err error) {
	deadline := time.Now().Add(r.cfg.Wait)
	for {
		if err = open(); err == nil {
			return nil
		}
		away := errors.Is(err, store.ErrUnavailable) || errors.Is(err, transports.ErrUnavailable)
		if !away || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// Close releases the store, if New opened it, and the transport. Run must
// have returned. Closing twice is allowed.
func (r *Router) Close() error {
	var errs []error
	if r.broker != nil {
		errs = append(errs, r.broker.Close())
	}
	if r.own && r.store != nil {
		errs = append(errs, r.store.Close())
	}
	return errors.Join(errs...)
}

// Bind implements [saga.Host].
func (r *Router) Bind(task string, b saga.Binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, hasSQL := r.store.(store.SQL)
	switch _, bound := r.tasks[task]; {
	case r.ran:
		r.mistakes = append(r.mistakes, fmt.Errorf("task %s is bound after the router was run", task))
	case bound:
		r.mistakes = append(r.mistakes, fmt.Errorf("task %s is bound twice", task))
	case b.NeedTx && !hasSQL:
		r.mistakes = append(r.mistakes, fmt.Errorf("task %s is bound by saga.HandleTx, but the store %s has no SQL", task, r.cfg.Store))
	}
	if err := (step.Limits{}).WithDefaults().CheckTask(task); err != nil {
		r.mistakes = append(r.mistakes, err)
	}
	r.tasks[task] = b
	r.services[step.Service(task)] = true
}

// AddHandler adds a plain Watermill handler: it gets the messages of a topic,
// and what it returns is published to another topic (none if publish is ""),
// in the same commit as the end of the message that it got. It has the same
// guarantees as a saga's: retries, dead letters, no message twice. Messages
// from a broker are told apart by their UUID.
func (r *Router) AddHandler(name, subscribe, publish string, fn message.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.plain {
		if p.name == name {
			r.mistakes = append(r.mistakes, fmt.Errorf("handler %s is added twice", name))
		}
		if p.from == subscribe {
			r.mistakes = append(r.mistakes, fmt.Errorf("topic %s has two handlers: %s and %s", subscribe, p.name, name))
		}
	}
	r.plain = append(r.plain, plainHandler{name, subscribe, publish, fn})
}

// AddMiddleware adds Watermill middlewares around all handlers. They run
// inside the durable ones: what they return is decided about by those.
func (r *Router) AddMiddleware(m ...message.HandlerMiddleware) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.extra = append(r.extra, m...)
}

// Publisher returns a Watermill publisher into the store.
func (r *Router) Publisher() message.Publisher { return native.NewPublisher(r.engine) }

// Running returns a channel that is closed once Run has its handlers running.
func (r *Router) Running() <-chan struct{} { return r.running }

// Run runs the handlers until ctx ends. Then it stops taking messages, waits
// for running handlers as long as Config.Drain allows, gives back the rest,
// and returns nil. Nothing is lost either way. It may be called once; an
// error says in one line what kept it from starting.
func (r *Router) Run(ctx context.Context) error {
	r.mu.Lock()
	if r.ran {
		r.mistakes = append(r.mistakes, errors.New("run was called twice"))
	}
	r.ran = true
	err := r.mistaken()
	r.mu.Unlock()
	if err != nil {
		return err
	}
	wm, err := r.compose()
	if err != nil {
		return fmt.Errorf("router: %w", err)
	}
	return r.supervise(ctx, wm)
}

// mistaken says in one line what was bound or added wrongly. r.mu is held.
func (r *Router) mistaken() error {
	if len(r.mistakes) == 0 {
		return nil
	}
	return fmt.Errorf("router: %w", oneLine(errors.Join(r.mistakes...)))
}

// supervise runs the engine until ctx ends and it has drained; the Watermill
// Router around the handlers lives longer, since its own end would cut them.
func (r *Router) supervise(ctx context.Context, wm *message.Router) error {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	outer, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var all sync.WaitGroup
	all.Go(func() {
		if err := wm.Run(inner); err != nil {
			fail(fmt.Errorf("watermill router: %w", err))
		} else if inner.Err() == nil {
			fail(errors.New("watermill router: all subscriptions have ended"))
		}
	})
	all.Go(func() {
		select {
		case <-wm.Running():
			close(r.running)
		case <-outer.Done():
		}
	})
	err := r.engine.Run(outer)
	stop()
	all.Wait()
	switch cause := context.Cause(outer); {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return nil // it was told to stop before it had begun
	case ctx.Err() == nil && cause != nil:
		return cause
	}
	return err
}

// compose builds the Watermill Router: a handler for each service, and one
// for each plain topic.
func (r *Router) compose() (*message.Router, error) {
	wm, err := message.NewRouter(message.RouterConfig{CloseTimeout: r.cfg.Drain}, quiet{watermill.NewSlogLogger(r.cfg.Log)})
	if err != nil {
		return nil, err
	}
	if r.relay != nil {
		wm.AddMiddleware(r.park)
	}
	wm.AddMiddleware(middleware.Chain(r.engine, r.rules)...)
	wm.AddMiddleware(r.extra...)
	sub := native.NewSubscriber(r.engine, native.Config{Concurrency: r.cfg.Concurrency, Begun: true})
	for _, name := range slices.Sorted(maps.Keys(r.services)) {
		wm.AddConsumerHandler(name, name, sub, r.dispatch)
	}
	for _, p := range r.plain {
		if r.services[p.from] {
			return nil, fmt.Errorf("handler %s: topic %s is a service's", p.name, p.from)
		}
		if err := r.addPlain(wm, sub, p); err != nil {
			return nil, fmt.Errorf("handler %s: %w", p.name, err)
		}
	}
	if r.relay != nil {
		r.relay.Serve(r.engine, slices.Sorted(maps.Keys(r.services)), r.plainTopics())
	}
	if len(r.services)+len(r.plain) == 0 {
		return nil, errors.New("no handler is bound; nothing to run")
	}
	return wm, nil
}

// consumer drops what a handler without a publish topic returns.
func consumer(fn message.HandlerFunc) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		_, err := fn(msg)
		return err
	}
}

// dispatch runs the handler that is bound to the message's task.
func (r *Router) dispatch(msg *message.Message) error {
	u := step.UnitFrom(msg.Context())
	b, ok := r.tasks[u.Message.Task]
	if !ok {
		return fmt.Errorf("%w: %q", step.ErrUnknownTask, u.Message.Task)
	}
	return b.Run(msg.Context(), u)
}

func (r *Router) rules(m *store.Message) middleware.Rules {
	rules := middleware.Rules{Policy: r.cfg.Policy, Timeout: r.cfg.Timeout}
	b := r.tasks[m.Task]
	if !b.Policy.IsZero() {
		rules.Policy = b.Policy
	}
	if rules.Policy.UnknownFor == 0 {
		rules.Policy.UnknownFor = r.cfg.UnknownFor
	}
	if b.Timeout != 0 {
		rules.Timeout = b.Timeout
	}
	return rules
}

func (r *Router) keying(m *store.Message) (step.Keying, error) {
	if b, ok := r.tasks[m.Task]; ok && b.Keying != nil {
		return b.Keying(m)
	}
	return step.Keying{}, nil
}

// Commit implements [saga.Host]. A start of, or a job for, a task that has no
// handler here although its service does is step.ErrUnknownTask, with nothing
// written: whoever runs a service runs all of its tasks. Nor is anything
// written by a program whose Run is going to refuse what it bound.
func (r *Router) Commit(ctx context.Context, out *step.Outcome) (step.Verdict, error) {
	if err := r.checkAble(out); err != nil {
		return step.Verdict{}, err
	}
	return r.engine.Commit(ctx, out)
}

// CommitTx implements [saga.Host]. It fails on a store without SQL, and as
// Commit does.
func (r *Router) CommitTx(ctx context.Context, tx *sql.Tx, out *step.Outcome) (step.Verdict, error) {
	if err := r.checkAble(out); err != nil {
		return step.Verdict{}, err
	}
	return r.engine.CommitTx(ctx, tx, out)
}

// checkAble reports what this very program is to carry out and can't. What
// other processes send is taken in all the same: they may be newer (M6).
func (r *Router) checkAble(out *step.Outcome) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.mistaken(); err != nil && !r.ran {
		return err
	}
	if out.Start != nil {
		return r.handled(out.Start.Task)
	}
	for i := range out.Sends {
		if err := r.handled(out.Sends[i].Task); err != nil {
			return err
		}
	}
	return nil
}

// handled reports a task of a service that runs here, without a handler.
func (r *Router) handled(task string) error {
	if _, bound := r.tasks[task]; bound || !r.services[step.Service(task)] {
		return nil
	}
	return fmt.Errorf("%w: this program runs service %s, but binds no handler to %s (see saga.Handle)", step.ErrUnknownTask, step.Service(task), task)
}

// Ended implements [saga.Host].
func (r *Router) Ended(ctx context.Context, key int64) (*store.Run, error) {
	return r.engine.Ended(ctx, key)
}

// Find implements [saga.Host].
func (r *Router) Find(ctx context.Context, q store.Query) (store.Found, error) {
	return r.store.Find(ctx, q)
}

// Codec implements [saga.Host].
func (r *Router) Codec() saga.Codec { return r.cfg.Codec }

// Store returns the store that the Router works on.
func (r *Router) Store() store.Store { return r.store }

// Transport returns the broker that Config.Transport names, or nil.
func (r *Router) Transport() transports.Transport { return r.broker }

// DB returns the database of a store with SQL, to begin transactions with, or
// nil.
func (r *Router) DB() *sql.DB {
	if s, ok := r.store.(store.SQL); ok {
		return s.DB()
	}
	return nil
}
