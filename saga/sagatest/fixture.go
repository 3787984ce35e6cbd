package sagatest

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/doctor"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// patience is how long a test waits for what must come, also on a machine that
// is busy with other tests.
const patience = 3 * time.Minute

// quick is a policy that loses no time.
var quick = step.Policy{Delays: []time.Duration{time.Millisecond}, Attempts: 3}

// fixture is what one check works with. Its methods fail the test on errors.
type fixture struct {
	*testing.T
	pair   Pair
	place  Place
	ctx    context.Context
	clock  *clockwork.FakeClock // nil: the machine's
	store  store.Store          // a handle of the test's own
	pulse  *pulse
	wrap   func(store.Store) store.Store // around the next routers' stores
	nodes  []*node
	others []func() // how to end Watermill Routers on brokers of their own
	ended  bool
	loose  bool // messages may be held at the end: a node was cut off
}

func newFixture(t *testing.T, p Pair) *fixture { return fixtureAt(t, p, p.Place(t)) }

// fixtureAt returns a fixture for a place that may have been used before.
func fixtureAt(t *testing.T, p Pair, at Place) *fixture {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	x := &fixture{T: t, pair: p, place: at, ctx: ctx, pulse: newPulse()}
	t.Cleanup(cancel)
	t.Cleanup(x.end)
	return x
}

// end stops what runs and examines the store.
//
// M9
func (x *fixture) end() {
	if x.ended {
		return
	}
	x.ended = true
	x.noteTopics()
	for _, stop := range x.others {
		stop()
	}
	if x.Failed() && x.store != nil {
		x.dump()
	}
	for _, n := range x.nodes {
		n.stop()
	}
	if x.store == nil {
		return
	}
	defer func() { require.NoError(x, x.store.Close()) }()
	if x.Failed() {
		return
	}
	x.conserved()
	if x.loose {
		return
	}
	if !x.wasCut() {
		found, err := x.store.Find(context.Background(), store.Query{Workers: &store.WorkerQuery{}})
		require.NoError(x, err)
		require.Empty(x, found.Workers, "a worker has not signed off")
	}
	for _, m := range x.messages() {
		require.Zero(x, m.Worker, "message %s (%s) is held, and nobody is there", m.ID, m.Task)
	}
}

// noteTopics tells the place which topics there are, so that it can delete them.
func (x *fixture) noteTopics() {
	if x.place.Note != nil {
		x.place.Note(x.topics()...)
	}
}

// topics lists those that the nodes use in the broker.
func (x *fixture) topics() []string {
	all := map[string]bool{}
	for _, n := range x.nodes {
		for topic := range n.topics {
			all[topic] = true
		}
		if name := n.name.Load(); name != nil {
			all[step.HomeTopic(*name)] = true
		}
	}
	if x.store != nil {
		found, err := x.store.Find(context.Background(), store.Query{Rows: &store.RowQuery{Kind: store.Topic}, Limit: 1000})
		require.NoError(x, err)
		for _, row := range found.Rows {
			all[row.Name] = true
		}
	}
	return slices.Collect(maps.Keys(all))
}

// wasCut reports whether a node was cut off its store.
func (x *fixture) wasCut() bool {
	return slices.ContainsFunc(x.nodes, func(n *node) bool { return n.cut.Load() })
}

// conserved examines the whole store (M9, H1, H2).
func (x *fixture) conserved() {
	x.Helper()
	report, err := doctor.Examine(context.Background(), x.look(), doctor.Options{Looks: 1})
	require.NoError(x, err)
	require.Empty(x, report.Faults())
}

// fake makes the clocks of the store and of the routers stand still, but for a
// millisecond now and then: a loop that looked at the clock right before the
// test moved it, and sleeps now, looks again.
func (x *fixture) fake() *clockwork.FakeClock {
	x.clock = clockwork.NewFakeClockAt(time.Date(2025, time.March, 14, 9, 26, 53, 0, time.UTC))
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				x.clock.Advance(time.Millisecond)
			case <-stop:
				return
			}
		}
	})
	x.Cleanup(func() { close(stop); all.Wait() })
	return x.clock
}

func (x *fixture) now() time.Time {
	if x.clock != nil {
		return x.clock.Now()
	}
	return time.Now()
}

// options are those of the stores: the fake clock, or each store's own.
func (x *fixture) options() store.Options {
	if x.clock != nil {
		return store.Options{Now: x.clock.Now}
	}
	return store.Options{}
}

// handle opens another handle on the database.
func (x *fixture) handle() store.Store {
	x.Helper()
	s, err := store.Open(x.ctx, x.place.Store, x.options())
	require.NoError(x, err)
	return s
}

// look returns the test's own handle.
func (x *fixture) look() store.Store {
	if x.store == nil {
		x.store = x.handle()
	}
	return x.store
}

// node is a router as one process would have it.
type node struct {
	*router.Router
	*gauge
	x      *fixture
	topics map[string]bool // that have handlers here
	cancel context.CancelFunc
	done   chan error
	once   sync.Once
	inner  store.Store
}

// node opens a router. change may be nil.
func (x *fixture) node(change func(*router.Config)) *node {
	x.Helper()
	x.look()
	n := &node{x: x, inner: x.handle(), topics: map[string]bool{}}
	opened := n.inner
	if x.wrap != nil {
		opened = x.wrap(opened)
	}
	n.gauge = &gauge{pulse: x.pulse}
	cfg := router.Config{
		Store: x.place.Store, Transport: x.place.Transport, Opened: tapped(opened, n.inner, n.gauge),
		Republish: 200 * time.Millisecond, Poll: 20 * time.Millisecond, Drain: 10 * time.Second,
		Policy: quick, Log: slog.New(slog.NewTextHandler(x.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if x.clock != nil {
		cfg.Clock, cfg.Poll = x.clock, time.Millisecond
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	n.Router, err = router.New(x.ctx, cfg)
	require.NoError(x, err)
	x.nodes = append(x.nodes, n)
	return n
}

// Bind implements [saga.Host].
func (n *node) Bind(task string, b saga.Binding) {
	n.topics[step.Service(task)] = true
	n.Router.Bind(task, b)
}

// AddHandler is that of the router.
func (n *node) AddHandler(name, subscribe, publish string, fn message.HandlerFunc) {
	n.topics[subscribe], n.topics[publish] = true, true
	n.Router.AddHandler(name, subscribe, publish, fn)
}

// run runs the router and returns once its handlers run and it is a worker.
func (n *node) run() *node {
	n.x.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel, n.done = cancel, make(chan error, 1)
	go func() { n.done <- n.Run(ctx) }()
	select {
	case <-n.Running():
	case err := <-n.done:
		n.done <- err
		n.x.Fatalf("router did not run: %v", err)
	case <-n.x.ctx.Done():
		n.x.Fatal("router does not run")
	}
	n.x.until("it is a worker", func() bool { return n.key() != 0 })
	return n
}

// stop stops the router, as a well-behaved process ends.
func (n *node) stop() {
	n.once.Do(func() {
		n.x.Helper()
		if n.done != nil {
			n.cancel()
			select {
			case err := <-n.done:
				if !n.cut.Load() {
					require.NoError(n.x, err)
				}
			case <-time.After(patience):
				n.x.Error("router does not stop")
				return
			}
		}
		require.NoError(n.x, n.Router.Close())
		require.NoError(n.x, n.inner.Close())
	})
}

// end ends the router's work, however it ends; its store stays open.
func (n *node) end() {
	n.cancel()
	err := <-n.done
	n.done <- err
}

// crash cuts the router off its store at once, frees what it held as if its
// process were gone, and waits for the rest of it.
func (n *node) crash() {
	n.x.Helper()
	n.cut.Store(true)
	n.x.closeWorkers()
	n.stop()
}

// closeWorkers closes all workers, as if their leases had ended.
func (x *fixture) closeWorkers() {
	x.Helper()
	found, err := x.look().Find(x.ctx, store.Query{Workers: &store.WorkerQuery{}})
	require.NoError(x, err)
	r := store.Reap{Limit: 10_000}
	for _, w := range found.Workers {
		r.Workers = append(r.Workers, w.Key)
	}
	for {
		got, err := x.look().Reap(x.ctx, r)
		require.NoError(x, err)
		if r.After = got.Next; r.After == 0 {
			x.pulse.raise()
			return
		}
	}
}

// until blocks until cond holds; it looks whenever a store was called.
func (x *fixture) until(what string, cond func() bool) {
	x.Helper()
	for {
		next := x.pulse.next()
		if cond() {
			return
		}
		select {
		case <-next:
		case <-x.ctx.Done():
			x.Fatalf("waited in vain: %s", what)
		}
	}
}

// parked blocks until the routers' loops wait for the fake clock.
func (x *fixture) parked() {
	x.Helper()
	n := 0
	for _, node := range x.nodes {
		if node.done != nil && node.cancel != nil && !node.cut.Load() {
			n += 4
		}
	}
	require.NoError(x, x.clock.BlockUntilContext(x.ctx, n))
}

// pass lets time pass, at once.
func (x *fixture) pass(d time.Duration) {
	x.Helper()
	x.parked()
	x.clock.Advance(d)
}

// get waits for a value.
func get[T any](x *fixture, ch <-chan T) T {
	x.Helper()
	select {
	case v := <-ch:
		return v
	case <-x.ctx.Done():
		x.Fatal("waited in vain")
	}
	panic("unreachable")
}

// start starts a run.
func start[T any](n *node, t saga.Task[T], v T, opts ...saga.StartOption) saga.Run {
	n.x.Helper()
	r, err := saga.Start(n.x.ctx, n.Router, t, v, opts...)
	require.NoError(n.x, err)
	return r
}

// result waits for the end of a run.
func result[R any](x *fixture, r saga.Run) R {
	x.Helper()
	var v R
	require.NoError(x, r.Result(x.ctx, &v))
	return v
}

// row returns the run's row.
func (x *fixture) row(r saga.Run) *store.Run {
	x.Helper()
	found, err := x.look().Find(x.ctx, store.Query{Runs: &store.RunQuery{ID: r.ID}})
	require.NoError(x, err)
	require.Len(x, found.Runs, 1)
	return found.Runs[0]
}

// status blocks until the run has a status.
func (x *fixture) status(r saga.Run, want store.Status) *store.Run {
	x.Helper()
	var row *store.Run
	x.until("run "+r.ID+" is "+want.String(), func() bool {
		row = x.row(r)
		return row.Status == want
	})
	return row
}

// messages returns all messages that are there.
func (x *fixture) messages() []*store.Message {
	x.Helper()
	found, err := x.look().Find(context.Background(), store.Query{Messages: &store.MessageQuery{}, Limit: 1000})
	require.NoError(x, err)
	return found.Messages
}

// rows returns what is there of a kind of rows, decoded.
func rows[T any](x *fixture, kind store.RowKind) []T {
	x.Helper()
	found, err := x.look().Find(x.ctx, store.Query{Rows: &store.RowQuery{Kind: kind, AllOwners: true}, Limit: 1000})
	require.NoError(x, err)
	out := make([]T, len(found.Rows))
	for i, row := range found.Rows {
		require.NoError(x, store.Unmarshal(row.Body, &out[i]))
	}
	return out
}

// counters sums up what the store says it has accepted and ended.
func (x *fixture) counters() (sum step.CounterRow) {
	x.Helper()
	for _, c := range rows[step.CounterRow](x, store.Counter) {
		sum.Accepted += c.Accepted
		sum.Done += c.Done
		sum.Dead += c.Dead
		sum.Cancelled += c.Cancelled
		sum.Duplicates += c.Duplicates
	}
	return sum
}

// history returns a run's verified history.
func (x *fixture) history(r saga.Run) []step.Entry {
	x.Helper()
	row := x.row(r)
	entries, err := step.Verify(row, x.pages(row))
	require.NoError(x, err)
	return entries
}

func (x *fixture) pages(row *store.Run) []step.PageRow {
	x.Helper()
	found, err := x.look().Find(x.ctx, store.Query{
		Rows: &store.RowQuery{Kind: store.Page, Owner: step.Owner(row.Key, "")}, Limit: 10_000,
	})
	require.NoError(x, err)
	out := make([]step.PageRow, len(found.Rows))
	for i, p := range found.Rows {
		require.NoError(x, store.Unmarshal(p.Body, &out[i]))
	}
	return out
}

// log is a list that handlers write to.
type log[T any] struct {
	mu   sync.Mutex
	list []T
}

func (l *log[T]) add(v T) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, v)
	return len(l.list)
}

func (l *log[T]) all() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]T(nil), l.list...)
}

// dump logs what a test that failed has left.
func (x *fixture) dump() {
	for _, m := range x.messages() {
		x.Logf("left: %s %s of run %s: worker %d, due %d, attempt %d, key %q", m.Kind, m.Task, m.RunID, m.Worker, m.Due, m.Attempt, m.Key)
	}
	for _, d := range x.letters() {
		x.Logf("dead: %s of run %s: %s", d.Message.Task, d.Message.RunID, d.Reason)
	}
}
