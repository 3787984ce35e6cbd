package relay_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/doctor/doctortest"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	_ "github.com/millrace-go/millrace/store/memory"
	_ "github.com/millrace-go/millrace/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

//semantics:stores memory sqlite

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// often is how soon what nobody took goes to the broker again.
const often = 50 * time.Millisecond

// quick is a policy that loses no time.
var quick = step.Policy{Delays: []time.Duration{time.Millisecond}, Attempts: 3}

// world is a broker, and services around it.
type world struct {
	*testing.T
	ctx    context.Context
	broker *broker
	kind   string
	stores map[string]store.Store // by the name of the place: a handle of the test's own
	nodes  []*node
}

var worlds atomic.Int64

// onStores runs a test on each kind of store.
func onStores(t *testing.T, test func(*world)) {
	for _, kind := range []string{"memory", "sqlite"} {
		t.Run(kind, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			w := &world{
				T: t, ctx: ctx, kind: kind, broker: newBroker(fmt.Sprint("b", worlds.Add(1))), stores: map[string]store.Store{},
			}
			defer cancel()
			defer w.end()
			test(w)
		})
	}
}

// end stops what runs, and examines the stores.
//
// M9, L1
func (w *world) end() {
	for _, n := range w.nodes {
		n.stop()
	}
	require.NoError(w, w.broker.Transport.Close())
	if w.Failed() {
		w.dump()
	}
	for _, s := range w.stores {
		if !w.Failed() {
			doctortest.Check(w, s)
			for _, m := range messages(w, s) {
				require.Zero(w, m.Worker, "message %s (%s) is held, and nobody is there", m.ID, m.Task)
			}
		}
		require.NoError(w, s.Close())
	}
}

// dump says what is open, for whoever reads a failure.
func (w *world) dump() {
	for place, s := range w.stores {
		for i, m := range messages(w, s) {
			if i < 20 {
				w.Logf("%s: %d %s %s due %s published %d lent %t held by %d", place, m.Seq, m.Topic, m.Task, m.Due.Time(), m.Published, m.Lent, m.Worker)
			}
		}
	}
	for _, n := range w.nodes {
		w.Logf("log:\n%s", n.log)
	}
	w.broker.mu.Lock()
	defer w.broker.mu.Unlock()
	w.Logf("the broker has %v", w.broker.has)
}

// url is that of the store of a place.
func (w *world) url(place string) string {
	if w.kind == "memory" {
		return "memory:" + w.broker.name + place
	}
	return "sqlite://" + filepath.Join(w.TempDir(), place+".db")
}

// node is a service's process.
type node struct {
	*router.Router
	w      *world
	store  store.Store
	log    *lines
	cancel context.CancelFunc
	done   chan error
}

// node opens a process whose store is at a place. change may be nil.
func (w *world) node(place string, change func(*router.Config)) *node {
	w.Helper()
	s := w.at(place)
	n := &node{w: w, store: s, log: &lines{t: w}}
	cfg := router.Config{
		Opened: s, Transport: "faulty:" + w.broker.name, Republish: often, Poll: 20 * time.Millisecond, Drain: 10 * time.Second,
		Policy: quick, Log: slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	n.Router, err = router.New(w.ctx, cfg)
	require.NoError(w, err)
	w.nodes = append(w.nodes, n)
	return n
}

// at returns the store of a place.
func (w *world) at(place string) store.Store {
	w.Helper()
	if s := w.stores[place]; s != nil {
		return s
	}
	s, err := store.Open(w.ctx, w.url(place), store.Options{})
	require.NoError(w, err)
	w.stores[place] = s
	return s
}

// run runs the process and returns once its handlers run.
func (n *node) run() *node {
	n.w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel, n.done = cancel, make(chan error, 1)
	go func() { n.done <- n.Run(ctx) }()
	select {
	case <-n.Running():
	case err := <-n.done:
		n.w.Fatalf("router did not run: %v", err)
	}
	return n
}

// stop stops the process, as a well-behaved one ends.
func (n *node) stop() {
	n.w.Helper()
	if n.done == nil {
		return
	}
	n.cancel()
	select {
	case err := <-n.done:
		require.NoError(n.w, err)
	case <-time.After(patience):
		n.w.Fatal("router does not stop")
	}
	n.done = nil
	require.NoError(n.w, n.Close())
}

// lines are what a process logs.
type lines struct {
	t  *world
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p)
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// have counts the lines with a text.
func (l *lines) have(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// start starts a run.
func start[T any](n *node, t saga.Task[T], v T, opts ...saga.StartOption) saga.Run {
	n.w.Helper()
	r, err := saga.Start(n.w.ctx, n.Router, t, v, opts...)
	require.NoError(n.w, err)
	return r
}

// result waits for the end of a run.
func result[R any](w *world, r saga.Run) (v R) {
	w.Helper()
	require.NoError(w, r.Result(w.ctx, &v))
	return v
}

// until waits for what only a store knows.
func (w *world) until(what string, cond func() bool) {
	w.Helper()
	require.Eventually(w, cond, patience, 5*time.Millisecond, what)
}

func (w *world) status(r saga.Run, want store.Status) *store.Run {
	w.Helper()
	var row *store.Run
	w.until("run "+r.ID+" is "+want.String(), func() bool {
		var err error
		row, err = r.Status(w.ctx)
		require.NoError(w, err)
		return row.Status == want
	})
	return row
}

// empty waits until nothing is open at a place.
func (w *world) empty(places ...string) {
	w.Helper()
	for _, place := range places {
		w.until("nothing is open at "+place, func() bool { return len(messages(w, w.at(place))) == 0 })
	}
}

func messages(w *world, s store.Store) []*store.Message {
	w.Helper()
	found, err := s.Find(context.Background(), store.Query{Messages: &store.MessageQuery{}, Limit: 10_000})
	require.NoError(w, err)
	return found.Messages
}

// publish sends a foreign message to a topic of the broker.
func (w *world) publish(topic string, msg *message.Message) {
	w.Helper()
	pub, err := connection{w.broker}.Publisher()
	require.NoError(w, err)
	require.NoError(w, pub.Publish(topic, msg))
}

// closeWorkers closes all workers of a place, as if their leases had ended.
func (w *world) closeWorkers(place string) {
	w.Helper()
	s := w.at(place)
	found, err := s.Find(w.ctx, store.Query{Workers: &store.WorkerQuery{}})
	require.NoError(w, err)
	r := store.Reap{Limit: 10_000}
	for _, one := range found.Workers {
		r.Workers = append(r.Workers, one.Key)
	}
	_, err = s.Reap(w.ctx, r)
	require.NoError(w, err)
}

// tally counts how often something happened, by name.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *tally) add(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[name]++
	return c.n[name]
}

func (c *tally) of(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}

// all returns what happened.
func (c *tally) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.n))
}

// once checks that so many things happened, each once.
func (c *tally) once(w *world, want int) {
	w.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Len(w, c.n, want)
	for name, n := range c.n {
		require.Equal(w, 1, n, name)
	}
}

// get waits for a value.
func get[T any](w *world, ch <-chan T) T {
	w.Helper()
	select {
	case v := <-ch:
		return v
	case <-w.ctx.Done():
		w.Fatal("waited in vain")
	}
	panic("unreachable")
}
