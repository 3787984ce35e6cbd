package relay_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store/storetest"
)

//semantics:stores memory sqlite

// chain is a service of three tasks.
type chain struct {
	one, two, three saga.Task[int]
	ran             tally
}

func newChain(service string) *chain {
	return &chain{
		one: saga.NewTask[int](service + "/one"), two: saga.NewTask[int](service + "/two"), three: saga.NewTask[int](service + "/three"),
	}
}

func (c *chain) bind(n *node) *node {
	saga.Handle(n, c.one, func(ctx context.Context, v int) (saga.Step, error) {
		c.ran.add(fmt.Sprint("one ", v))
		return saga.Send(c.two, v), nil
	})
	saga.Handle(n, c.two, func(ctx context.Context, v int) (saga.Step, error) {
		c.ran.add(fmt.Sprint("two ", v))
		return saga.Send(c.three, v), nil
	})
	saga.Handle(n, c.three, func(ctx context.Context, v int) (saga.Step, error) {
		c.ran.add(fmt.Sprint("three ", v))
		return saga.Finish(v), nil
	})
	return n
}

// What a broker loses, again and again, is run all the same, once.
//
// M11, M2, M3
func TestBrokerThatLosesAll(t *testing.T) {
	onStores(t, func(w *world) {
		const runs = 200
		c := newChain("svc")
		a, b := c.bind(w.node("home", nil)).run(), c.bind(w.node("home", nil)).run()
		started := make([]saga.Run, runs)
		for i := range started {
			started[i] = start([]*node{a, b}[i%2], c.one, i)
			if i%10 == 0 {
				w.broker.wipe()
			}
		}
		for i, r := range started {
			require.Equal(w, i, result[int](w, r))
			if i%10 == 0 {
				w.broker.wipe()
			}
		}
		c.ran.once(w, 3*runs)
		require.Positive(w, w.broker.peak("svc"), "messages travel through the broker")
	})
}

// M2, M3
func TestEnvelopesThatComeOften(t *testing.T) {
	onStores(t, func(w *world) {
		const runs = 50
		w.broker.distort(func(string, *message.Message) int { return 3 })
		c := newChain("svc")
		a, b := c.bind(w.node("home", nil)).run(), c.bind(w.node("home", nil)).run()
		for i := range runs {
			require.Equal(w, i, result[int](w, start([]*node{a, b}[i%2], c.one, i)))
		}
		c.ran.once(w, 3*runs)
	})
}

// Two processes on one store share what comes.
func TestProcessesShareTheLoad(t *testing.T) {
	onStores(t, func(w *world) {
		task := saga.NewTask[int]("svc/task")
		both := make(chan string)
		var nodes []*node
		for i := range 2 {
			n := w.node("home", func(c *router.Config) { c.Concurrency = 1 })
			saga.Handle(n, task, func(ctx context.Context, v int) (saga.Step, error) {
				select {
				case both <- fmt.Sprint("process ", i): // until the test has seen the other one, too
				case <-ctx.Done():
				}
				return saga.Finish(v), nil
			})
			nodes = append(nodes, n.run())
		}
		var runs []saga.Run
		for i := range 64 {
			runs = append(runs, start(nodes[0], task, i))
		}
		seen := tally{}
		for range runs {
			seen.add(get(w, both))
		}
		for i, r := range runs {
			require.Equal(w, i, result[int](w, r))
		}
		require.Positive(w, seen.of("process 0"))
		require.Positive(w, seen.of("process 1"))
	})
}

// The broker is given no more than its window, however much there is to do.
//
// L6
func TestWindow(t *testing.T) {
	onStores(t, func(w *world) {
		const window, children = 8, 80
		fork, child := saga.NewTask[int]("svc/fork"), saga.NewTask[int]("svc/child")
		end := saga.NewTask[saga.Joined[int]]("svc/end")
		far, forks := saga.NewTask[int]("far/child"), saga.NewTask[int]("svc/forks")
		var ran tally
		small := func(c *router.Config) { c.Window, c.Concurrency, c.Hold, c.Republish = window, 2, 4, time.Second }
		slow := func(ctx context.Context, v int) (saga.Step, error) {
			ran.add(fmt.Sprint(v))
			<-time.After(time.Millisecond) // it takes its time
			return nil, nil
		}
		a := w.node("home", small)
		saga.Handle(a, fork, func(context.Context, int) (saga.Step, error) {
			f := saga.ForkSeq(child, numbers(0, children))
			return saga.Do(f, saga.Join(saga.AllOf(f), end, 0)), nil
		})
		saga.Handle(a, forks, func(context.Context, int) (saga.Step, error) {
			f := saga.ForkSeq(far, numbers(children, children))
			return saga.Do(f, saga.Join(saga.AllOf(f), end, 0)), nil
		})
		saga.Handle(a, child, slow)
		saga.Handle(a, end, func(_ context.Context, j saga.Joined[int]) (saga.Step, error) { return saga.Finish(j.Done), nil })
		b := w.node("far", small)
		saga.Handle(b, far, slow)
		a.run()
		b.run()
		near, away := start(a, fork, 1), start(a, forks, 1)
		require.Equal(w, children, result[int](w, near))
		require.Equal(w, children, result[int](w, away))
		ran.once(w, 2*children)
		require.LessOrEqual(w, w.broker.peak("svc"), window)
		require.LessOrEqual(w, w.broker.peak("far"), window)
		require.Positive(w, w.broker.peak("svc"))
	})
}

func numbers(from, n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(from + i) {
				return
			}
		}
	}
}

// A window that was used up opens again, also when all that was in it is lost.
func TestWindowOpensAgain(t *testing.T) {
	onStores(t, func(w *world) {
		const window = 4
		task := saga.NewTask[int]("svc/task")
		a := w.node("home", func(c *router.Config) { c.Window = window })
		saga.Handle(a, task, func(_ context.Context, v int) (saga.Step, error) { return saga.Finish(v), nil })
		a.run()
		lose := true
		w.broker.distort(func(topic string, _ *message.Message) int {
			if topic == "svc" && lose {
				return 0
			}
			return 1
		})
		for i := range 3 * window {
			require.Equal(w, i, result[int](w, start(a, task, i)))
		}
		w.broker.distort(nil)
		w.until("the broker is made use of", func() bool {
			result[int](w, start(a, task, 1))
			return w.broker.peak("svc") > 0
		})
	})
}

// With handover local, what fits here does not travel.
func TestLocalHandover(t *testing.T) {
	onStores(t, func(w *world) {
		c := newChain("svc")
		a := c.bind(w.node("home", func(c *router.Config) { c.Handover = router.HandoverLocal })).run()
		for i := range 20 {
			require.Equal(w, i, result[int](w, start(a, c.one, i)))
		}
		require.Zero(w, w.broker.peak("svc"))
	})
}

// A message that waits for its retry is not run early by a copy of its
// envelope.
//
// M3, R1
func TestCopyOfWhatWaitsForItsRetry(t *testing.T) {
	onStores(t, func(w *world) {
		const delay = 300 * time.Millisecond
		var kept []*message.Message
		failed := make(chan time.Time, 1)
		w.broker.distort(func(topic string, msg *message.Message) int {
			if topic == "svc" {
				kept = append(kept, msg.Copy())
			}
			return 1
		})
		task := saga.NewTask[int]("svc/task")
		a := w.node("home", nil)
		saga.Handle(a, task, func(ctx context.Context, v int) (saga.Step, error) {
			if saga.Attempt(ctx) == 1 {
				failed <- time.Now()
				return nil, saga.RetryAfter(delay, errors.New("not yet"))
			}
			return saga.Finish(time.Now()), nil
		})
		a.run()
		r := start(a, task, 1)
		first := get(w, failed)
		w.until("the failure is stored", func() bool {
			ms := messages(w, w.at("home"))
			return len(ms) == 1 && ms[0].Attempt == 1
		})
		w.broker.mu.Lock()
		copies := kept
		w.broker.mu.Unlock()
		w.broker.distort(nil)
		for range 5 {
			for _, msg := range copies {
				w.publish("svc", msg)
			}
		}
		second := result[time.Time](w, r)
		require.GreaterOrEqual(w, second.Sub(first), delay)
	})
}

// Without a broker work goes on through the store, and one line says so; when
// it is back, another one does, and messages travel again.
//
// R5, L1
func TestBrokerIsAway(t *testing.T) {
	onStores(t, func(w *world) {
		w.broker.fail(true)
		c := newChain("svc")
		a := c.bind(w.node("home", nil)).run()
		for i := range 40 {
			require.Equal(w, i, result[int](w, start(a, c.one, i)))
		}
		w.until("it was said", func() bool { return a.log.have("broker does not answer") > 0 })
		w.broker.fail(false)
		w.until("the broker is back", func() bool {
			result[int](w, start(a, c.one, 1000+c.ran.add("later")))
			return a.log.have("broker is back") > 0
		})
		require.Equal(w, 1, a.log.have("broker does not answer"))
		require.Equal(w, 1, a.log.have("broker is back"))
		require.Positive(w, w.broker.peak("svc"))

		w.broker.fail(true)
		for i := range 40 {
			require.Equal(w, 5000+i, result[int](w, start(a, c.one, 5000+i)))
		}
		w.until("it was said", func() bool { return a.log.have("broker does not answer") == 2 })
	})
}

// What is in the broker when its run ends is dropped.
//
// N1
func TestRunEndsWhileItsMessagesTravel(t *testing.T) {
	onStores(t, func(w *world) {
		task, other := saga.NewTask[int]("svc/task"), saga.NewTask[int]("svc/other")
		var ran tally
		var lost atomic.Int64
		w.broker.distort(func(topic string, _ *message.Message) int {
			if ran.of("task") == 0 {
				return 1
			}
			lost.Add(1)
			return 0
		})
		a := w.node("home", func(c *router.Config) { c.Republish = time.Hour })
		saga.Handle(a, task, func(context.Context, int) (saga.Step, error) {
			ran.add("task")
			return saga.Do(saga.Send(other, 1), saga.Send(other, 2)), nil
		})
		saga.Handle(a, other, func(context.Context, int) (saga.Step, error) { ran.add("other"); return nil, nil })
		a.run()
		r := start(a, task, 1)
		w.until("they are on their way", func() bool { return lost.Load() > 0 })
		require.NoError(w, r.Cancel(w.ctx, "enough"))
		require.ErrorIs(w, r.Result(w.ctx, nil), saga.ErrCancelled)
		w.empty("home")
		require.Zero(w, ran.of("other"))
	})
}

// A store that is away does not keep a process from stopping.
//
// L1
func TestStopWhileTheStoreIsAway(t *testing.T) {
	onStores(t, func(w *world) {
		faulty := storetest.NewFaulty(w.at("home"), nil)
		far := saga.NewTask[int]("far/task")
		begin := saga.NewTask[int]("svc/begin")
		a := w.node("home", func(c *router.Config) { c.Opened = faulty; c.Drain = time.Second })
		saga.Handle(a, begin, func(context.Context, int) (saga.Step, error) {
			return saga.ForkSeq(far, numbers(0, 50)), nil
		})
		a.run()
		start(a, begin, 1)
		w.until("they are sent again and again", func() bool { return w.broker.peak("far") > 100 })
		faulty.Plan(storetest.Always(storetest.Before))
		a.stop()
		w.closeWorkers("home")
		faulty.Plan(nil) // whoever still waits for it
	})
}
