package faults

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

// wrong is a machine's clock that is set wrong.
type wrong struct {
	clockwork.Clock
	by time.Duration
}

// Now returns the wrong time.
func (c wrong) Now() time.Time { return c.Clock.Now().Add(c.by) }

// Since returns the time that has passed since another wrong one.
func (c wrong) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Until returns the time until another wrong one.
func (c wrong) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }

// Of three processes one has its clock an hour ahead, and one an hour behind.
// Due times and leases go by the store's clock.
//
// T3
//
//semantics:stores postgres redis
func TestWrongClocks(t *testing.T) {
	const lease, later = 3 * time.Second, time.Second
	skews := []time.Duration{0, time.Hour, -time.Hour}
	for _, p := range []pair{{"postgres", ""}, {"redis", ""}, {"postgres", "amqp"}, {"redis", "redis"}} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := shared(t).site(t, p)
			var stores []store.Store
			t.Cleanup(func() {
				for _, opened := range stores {
					require.NoError(t, opened.Close())
				}
			})
			l := s.open(t, len(skews), func(i int, c *router.Config) {
				opened, err := store.Open(t.Context(), c.Store, store.Options{}) // its clock is the server's
				require.NoError(t, err)
				stores = append(stores, opened)
				c.Opened, c.Clock, c.Lease = opened, wrong{clockwork.NewRealClock(), skews[i]}, lease
			})
			timer := saga.NewTask[int](s.tag + "timer/ring")
			ring := saga.NewTask[int](s.tag + "timer/start")
			var mu sync.Mutex
			set, rung := map[int]time.Time{}, map[int]time.Duration{}
			for _, r := range l.routers {
				saga.Handle(r, ring, func(_ context.Context, i int) (saga.Step, error) {
					mu.Lock()
					defer mu.Unlock()
					set[i] = time.Now()
					return saga.Send(timer, i).After(later), nil
				})
				saga.Handle(r, timer, func(_ context.Context, i int) (saga.Step, error) {
					mu.Lock()
					defer mu.Unlock()
					rung[i] = time.Since(set[i])
					return saga.Finish(i), nil
				})
			}
			began := time.Now()
			l.run().feed()
			const timers = 12
			for i := range timers {
				run, err := saga.Start(t.Context(), l.routers[i%len(l.routers)], ring, i)
				require.NoError(t, err)
				defer func() { require.NoError(t, run.Result(t.Context(), nil)) }()
			}
			require.Eventually(t, func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(rung) == timers && time.Since(began) > 2*lease
			}, patience, 20*time.Millisecond)
			l.finish()
			for i, after := range rung {
				require.GreaterOrEqual(t, after, later, "timer %d", i)
				require.Less(t, after, patience, "timer %d", i)
			}
			require.Zero(t, l.said.count(slog.LevelInfo, "worker that died"), "leases were stolen")
			require.Zero(t, l.said.count(slog.LevelInfo, "lease was lost"))
		})
	}
}
