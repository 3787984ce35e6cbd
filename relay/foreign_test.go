package relay_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
)

//semantics:stores memory sqlite

// naming makes a message of a producer that knows nothing but a task's name.
func naming(task, uuid, payload string) *message.Message {
	msg := message.NewMessage(uuid, []byte(payload))
	if task != "" {
		msg.Metadata["millrace_task"] = task
	}
	return msg
}

// What a foreign producer sends several times, to whichever process, is run
// once for its UUID; and what it brings forth travels on.
//
// L4, M2
func TestForeignMessages(t *testing.T) {
	onStores(t, func(w *world) {
		const sent = 30
		var ran tally
		first, then := saga.NewTask[int]("svc/first"), saga.NewTask[int]("svc/then")
		for range 2 {
			n := w.node("home", nil)
			saga.Handle(n, first, func(ctx context.Context, v int) (saga.Step, error) {
				ran.add(fmt.Sprint("first ", v))
				return saga.Send(then, v), nil
			})
			saga.Handle(n, then, func(_ context.Context, v int) (saga.Step, error) {
				ran.add(fmt.Sprint("then ", v))
				return nil, nil
			})
			n.run()
		}
		for range 3 {
			for i := range sent {
				w.publish("svc", naming("svc/first", fmt.Sprint("uuid-", i), fmt.Sprint(i)))
			}
		}
		w.until("all have run", func() bool { return len(ran.all()) == 2*sent })
		w.empty("home")
		ran.once(w, 2*sent)
	})
}

// What names no task, or none that is known, stops nobody, and ends as a dead
// letter that says why.
//
// M6, L4
func TestForeignMessagesThatNobodyUnderstands(t *testing.T) {
	onStores(t, func(w *world) {
		task := saga.NewTask[int]("svc/task")
		ran := make(chan int, 1)
		n := w.node("home", func(c *router.Config) { c.UnknownFor = time.Millisecond })
		saga.Handle(n, task, func(_ context.Context, v int) (saga.Step, error) { ran <- v; return nil, nil })
		n.run()
		w.publish("svc", naming("", "a", "{}"))
		w.publish("svc", naming("svc/unknown", "b", "1"))
		w.publish("svc", naming("nonsense", "c", "1"))
		w.publish("svc", naming("svc/task", "d", "no number"))
		slip := naming("", "e", "[1, 2") // an envelope that is damaged
		slip.Metadata["millrace_store"] = "elsewhere"
		w.publish("svc", slip)
		w.publish("svc", naming("svc/task", "f", "7"))
		require.Equal(w, 7, get(w, ran))
		w.until("the others are dead", func() bool { return len(w.letters(n)) == 4 })
		var reasons string
		for _, l := range w.letters(n) {
			reasons += l.Reason + "\n"
			require.NoError(w, saga.Discard(w.ctx, n, l.Seq, "seen"))
		}
		require.Contains(w, reasons, "svc/(none named)")
		require.Contains(w, reasons, "svc/unknown")
		w.until("it is said", func() bool { return n.log.have("all processes of a service must have the same store") == 1 })
	})
}

func (w *world) letters(n *node) (all []saga.DeadLetter) {
	w.Helper()
	for l, err := range saga.DeadLetters(w.ctx, n, 0) {
		require.NoError(w, err)
		all = append(all, l)
	}
	return all
}

// A foreign message that is over a limit is parked as it was; others go on.
//
// M7, R6
func TestForeignMessageThatIsTooLarge(t *testing.T) {
	onStores(t, func(w *world) {
		task := saga.NewTask[string]("svc/task")
		ran := make(chan string, 1)
		n := w.node("home", func(c *router.Config) { c.PayloadLimit = 100 })
		saga.Handle(n, task, func(_ context.Context, v string) (saga.Step, error) { ran <- v; return nil, nil })
		n.run()
		large := `"` + strings.Repeat("1234567890", 10) + `"`
		w.publish("svc", naming("svc/task", "a", large))
		verbose := naming("svc/task", "b", `"1"`)
		verbose.Metadata["note"] = large
		w.publish("svc", verbose)
		w.publish("svc", naming("svc/task", "c", `"fits"`))
		require.Equal(w, "fits", get(w, ran))
		parked := w.received("svc.parked", 2)
		require.Equal(w, large, string(parked["a"].Payload))
		require.Equal(w, "svc/task", parked["a"].Metadata["millrace_task"])
		require.Contains(w, parked["a"].Metadata["millrace_parked"], "payload for svc/task has 102 bytes, limit 100")
		require.Contains(w, parked["b"].Metadata["millrace_parked"], "metadata has")
		w.until("it is said", func() bool { return n.log.have("it is parked") == 2 })
		w.empty("home")
	})
}

// received takes n messages of a topic from the broker, by their UUID.
func (w *world) received(topic string, n int) map[string]*message.Message {
	w.Helper()
	sub, err := w.broker.Transport.Subscriber(n)
	require.NoError(w, err)
	defer func() { require.NoError(w, sub.Close()) }()
	in, err := sub.Subscribe(w.ctx, topic)
	require.NoError(w, err)
	got := map[string]*message.Message{}
	for len(got) < n {
		msg := get(w, in)
		msg.Ack()
		got[msg.UUID] = msg
	}
	return got
}

// A plain handler's message that waits for its retry is not given to the
// broker again by another process, where it would be taken for a second copy.
//
// L4, R1, M3
func TestRetryOfPlainHandlerWhileAnotherProcessSendsToItsTopic(t *testing.T) {
	onStores(t, func(w *world) {
		const sent = 20
		var tried, done tally
		other := saga.NewTask[int]("api/task")
		api, worker := w.node("home", nil), w.node("home", func(c *router.Config) {
			c.Policy = step.Policy{Delays: []time.Duration{60 * time.Millisecond}, Attempts: 5}
		})
		saga.Handle(api, other, func(context.Context, int) (saga.Step, error) { return nil, nil })
		worker.AddHandler("consume", "orders", "", func(msg *message.Message) ([]*message.Message, error) {
			if tried.add(msg.UUID) <= 2 {
				return nil, errors.New("not yet")
			}
			done.add(msg.UUID)
			return nil, nil
		})
		api.run()
		require.NoError(w, api.Publisher().Publish("orders", message.NewMessage("first", nil)))
		worker.run()
		for i := range sent {
			w.publish("orders", message.NewMessage(fmt.Sprint("foreign-", i), nil))
		}
		w.until("all are done", func() bool { return len(done.all()) == sent+1 })
		w.empty("home")
		done.once(w, sent+1)
	})
}

// What a plain handler returns reaches the broker, whichever processes of the
// store are there.
//
// L4
func TestWhatPlainHandlersReturn(t *testing.T) {
	onStores(t, func(w *world) {
		const sent = 50
		var got tally
		other := saga.NewTask[int]("api/task")
		api, worker := w.node("home", nil), w.node("home", nil)
		saga.Handle(api, other, func(context.Context, int) (saga.Step, error) { return nil, nil })
		worker.AddHandler("consume", "orders", "bills", func(msg *message.Message) ([]*message.Message, error) {
			return []*message.Message{message.NewMessage("bill-"+msg.UUID, nil)}, nil
		})
		worker.AddHandler("bill", "bills", "", func(msg *message.Message) ([]*message.Message, error) {
			got.add(msg.UUID)
			return nil, nil
		})
		for i := range sent { // before anybody hosts anything
			require.NoError(w, worker.Publisher().Publish("orders", message.NewMessage(fmt.Sprint(i), nil)))
		}
		api.run()
		worker.run()
		w.until("all are there", func() bool { return len(got.all()) == sent })
		w.empty("home")
		got.once(w, sent)
	})
}
