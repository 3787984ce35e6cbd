package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// patience is how long a test waits for what must come.
const patience = 120 * time.Second

// times is how often something is done: more often where there is time.
func times(usual, torture int) int {
	if os.Getenv("MILLRACE_TORTURE") != "" {
		return torture
	}
	return usual
}

// load is a program that works at a site, in several routers, while runs are
// started and waited for. Each run is checked when it has ended, and all is
// checked at the end.
type load struct {
	*testing.T
	*site
	*program
	routers []*router.Router
	said    *said
	stop    []func() error

	ctx     context.Context
	cancel  context.CancelFunc
	enough  chan struct{} // closed: no more runs are started
	resting sync.Once
	all     sync.WaitGroup

	next  atomic.Int64 // runs begun
	ended atomic.Int64 // runs that ended as planned
	wrong atomic.Pointer[error]

	lenient bool // leases may have been lost: a handler may have run twice
}

// open opens routers at a site; they don't run yet.
func (s *site) open(t *testing.T, routers int, change func(i int, c *router.Config)) *load {
	t.Helper()
	l := &load{T: t, site: s, program: newProgram(s.tag), enough: make(chan struct{}), said: newSaid(t, s.pair.String())}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	t.Cleanup(l.end)
	for i := range routers {
		cfg := router.Config{
			Store: s.store.String(), Transport: s.brokerURL(), Concurrency: 16, Drain: 5 * time.Second,
			Poll: 100 * time.Millisecond, Republish: 500 * time.Millisecond,
			Policy: step.Policy{Delays: []time.Duration{2 * time.Millisecond}, Attempts: 5},
			Log:    l.said.logger(),
		}
		if change != nil {
			change(i, &cfg)
		}
		r, err := router.New(l.ctx, cfg)
		require.NoError(t, err, s.pair)
		l.bind(r)
		l.routers = append(l.routers, r)
	}
	return l
}

// run runs the routers.
func (l *load) run() *load {
	l.Helper()
	for _, r := range l.routers {
		ctx, cancel := context.WithCancel(l.ctx)
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		select {
		case <-r.Running():
		case err := <-done:
			cancel()
			l.Fatalf("%s: %v", l.pair, err)
		case <-time.After(patience):
			cancel()
			l.Fatalf("%s: the router does not run", l.pair)
		}
		l.stop = append(l.stop, func() error {
			cancel()
			select {
			case err := <-done:
				return err
			case <-time.After(patience):
				return fmt.Errorf("%s: the router does not stop", l.pair)
			}
		})
	}
	return l
}

// feed starts runs and waits for them, a few at a time, until finish.
func (l *load) feed() *load { return l.feedMany(4) }

// feedMany is feed with so many at a time.
func (l *load) feedMany(atATime int) *load {
	for i := range atATime {
		host := l.routers[i%len(l.routers)]
		l.all.Go(func() {
			pace := time.NewTicker(300 * time.Millisecond) // others work as well
			defer pace.Stop()
			for {
				select {
				case <-pace.C:
				case <-l.enough:
					return
				case <-l.ctx.Done():
					return
				}
				if err := l.once(host, int(l.next.Add(1)-1)); err != nil {
					l.wrong.CompareAndSwap(nil, &err)
					return
				}
			}
		})
	}
	return l
}

// once starts a run and waits for its end, however long the store is away.
func (l *load) once(host *router.Router, i int) error {
	h, err := l.begin(host, i)
	if err != nil {
		return fmt.Errorf("start run %d: %w", i, err)
	}
	var got int
	err = h.Result(l.ctx, &got)
	switch {
	case fails(i) && (!errors.Is(err, saga.ErrFailed) || !contains(err, "as planned")):
		return fmt.Errorf("run %d was to fail: %w", i, err)
	case !fails(i) && (err != nil || got != i):
		return fmt.Errorf("run %d: %d, %w", i, got, err)
	}
	l.ended.Add(1)
	return nil
}

// begin starts a run; with the same id it may be told to more than once (M1).
func (l *load) begin(host *router.Router, i int) (saga.Run, error) {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		h, err := saga.Start(l.ctx, host, l.order, i, saga.ID(l.runID(i)), saga.OnDead(step.Compensate))
		if err == nil || (!errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown)) {
			return h, err
		}
		select {
		case <-again.C:
		case <-l.ctx.Done():
			return h, err
		}
	}
}

func (l *load) runID(i int) string { return fmt.Sprintf("%s-%05d", l.tag, i) }

// progress blocks until so many more runs have ended.
func (l *load) progress(n int64) {
	l.Helper()
	l.reach(l.ended.Load()+n, n)
}

func (l *load) reach(goal, n int64) {
	l.Helper()
	ask := time.NewTicker(5 * time.Millisecond)
	defer ask.Stop()
	late := time.After(patience)
	for l.ended.Load() < goal {
		select {
		case <-ask.C:
		case <-late:
			l.dump()
			l.Fatalf("%s: waited in vain for %d more runs; %d were begun, %d have ended", l.pair, n, l.next.Load(), l.ended.Load())
		}
		if err := l.wrong.Load(); err != nil {
			l.dump()
			l.Fatalf("%s: %v", l.pair, *err)
		}
	}
}

// finishAll finishes loads; none goes on while another is verified.
func finishAll(loads []*load) {
	for _, l := range loads {
		l.rest()
	}
	for _, l := range loads {
		l.Helper()
		l.finish()
	}
}

// rest starts no more runs.
func (l *load) rest() { l.resting.Do(func() { close(l.enough) }) }

// finish ends the feeding and waits until all that was begun has ended. Then
// it verifies what is there.
func (l *load) finish() {
	l.Helper()
	l.rest()
	l.reach(l.next.Load(), l.next.Load()-l.ended.Load()) // those that wait for the pace begin none
	l.all.Wait()
	l.verify()
	if !l.lenient {
		require.Zero(l, l.twice(), "%s: no lease was lost, but handlers have returned steps of one message twice", l.pair)
	}
}

// end ends what is still there.
func (l *load) end() {
	for _, stop := range l.stop {
		if err := stop(); err != nil {
			l.Error(err)
		}
	}
	l.stop = nil
	if l.pair.broker == "amqp" && !l.Failed() && len(l.routers) > 0 {
		l.home = l.storeName()
	}
	l.cancel()
	l.all.Wait()
	for _, r := range l.routers {
		if err := r.Close(); err != nil {
			l.Logf("%s: close: %v", l.pair, err)
		}
	}
	l.routers = nil
}

// dump logs what a test that failed has left.
func (l *load) dump() {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	found, err := l.routers[0].Find(ctx, store.Query{Messages: &store.MessageQuery{}, Limit: 20})
	if err != nil {
		l.Logf("%s: %v", l.pair, err)
		return
	}
	for _, m := range found.Messages {
		l.Logf("%s: left: %s %s of run %s: worker %d, due in %v, attempt %d, published %d", l.pair, m.Kind, m.Task, m.RunID,
			m.Worker, time.Until(time.UnixMicro(int64(m.Due))).Round(time.Millisecond), m.Attempt, m.Published)
	}
}
