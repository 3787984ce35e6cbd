package sagatest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/engine"
	"github.com/millrace-go/millrace/middleware"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/native"
)

var plainChecks = []check{
	{"plain handlers are as durable as tasks", plainHandlers},
	{"a plain handler's failures are retried, and then dead letters", plainRetries},
	{"what a plain handler publishes is part of its commit", plainCommit},
	{"a message from outside is run once for its UUID", foreignMessages},
	{"a message from outside that is over a limit is refused or parked, and stops nobody", foreignTooLarge},
	{"a plain handler's message can start a task", plainToTask},
}

// L4
func plainHandlers(x *fixture) {
	n := x.node(nil)
	out := make(chan string, 99)
	n.AddHandler("double", "in", "out", func(msg *message.Message) ([]*message.Message, error) {
		twice := message.NewMessage("", append(msg.Payload, msg.Payload...))
		twice.Metadata.Set("from", msg.UUID)
		return message.Messages{twice, message.NewMessage("given", []byte("x"))}, nil
	})
	n.AddHandler("collect", "out", "", func(msg *message.Message) ([]*message.Message, error) {
		out <- fmt.Sprintf("%s from %s", msg.Payload, msg.Metadata.Get("from"))
		return nil, nil
	})
	n.run()
	require.NoError(x, n.Publisher().Publish("in", message.NewMessage("u1", []byte("ab"))))
	require.ElementsMatch(x, []string{"abab from u1", "x from "}, []string{get(x, out), get(x, out)})
	x.until("all have ended", func() bool { return len(x.messages()) == 0 })
	require.Empty(x, out)
	ended := int64(3)
	if x.place.Transport != "" {
		ended += 2 // in the outbox
	}
	require.Equal(x, ended, x.counters().Done)
}

// L4, R1, R4
func plainRetries(x *fixture) {
	n := x.node(nil)
	var ran atomic.Int64
	n.AddHandler("fails", "in", "out", func(msg *message.Message) ([]*message.Message, error) {
		if ran.Add(1) == 2 {
			panic("once")
		}
		return message.Messages{message.NewMessage("", nil)}, errors.New("no")
	})
	n.run()
	require.NoError(x, n.Publisher().Publish("in", message.NewMessage("u1", []byte("ab"))))
	_, d := x.letter()
	require.Equal(x, 3, d.Message.Attempt)
	require.Equal(x, []byte("ab"), d.Message.Payload)
	require.Equal(x, int64(3), ran.Load())
	require.Len(x, rows[step.AttemptRow](x, store.Attempt), 3)
	require.Empty(x, x.messages(), "nothing was published")
}

// L4, M4, M2
func plainCommit(x *fixture) {
	n := x.node(nil)
	entered, gate := make(chan struct{}), make(chan struct{})
	handler := func(wait bool) message.HandlerFunc {
		return func(*message.Message) ([]*message.Message, error) {
			if wait {
				close(entered)
				<-gate
			}
			return message.Messages{message.NewMessage("", []byte("child"))}, nil
		}
	}
	n.AddHandler("parent", "in", "out", handler(true))
	n.run()
	require.NoError(x, n.Publisher().Publish("in", message.NewMessage("u1", nil)))
	get(x, entered)
	require.Len(x, x.messages(), 1)
	n.cut.Store(true)
	x.closeWorkers()
	close(gate)
	n.stop()
	require.Len(x, x.messages(), 1, "none of a worker that was closed")
	again := x.node(nil)
	again.AddHandler("parent", "in", "out", handler(false))
	children := make(chan struct{}, 9)
	again.AddHandler("child", "out", "", func(*message.Message) ([]*message.Message, error) { children <- struct{}{}; return nil, nil })
	again.run()
	get(x, children)
	x.until("all have ended", func() bool { return len(x.messages()) == 0 })
	require.Empty(x, children)
}

// fromBroker is a Watermill Router on a broker of its own, whose handler is
// made durable by the middlewares alone.
func (x *fixture) fromBroker(h message.HandlerFunc) message.Publisher {
	x.Helper()
	s := x.handle()
	e, err := engine.New(engine.Config{Store: s})
	require.NoError(x, err)
	broker := gochannel.NewGoChannel(gochannel.Config{}, watermill.NopLogger{})
	wm, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	require.NoError(x, err)
	wm.AddMiddleware(middleware.Chain(e, func(*store.Message) middleware.Rules { return middleware.Rules{Policy: quick} })...)
	wm.AddHandler("fromBroker", "in", broker, "out", native.NewPublisher(e), h)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { require.NoError(x, e.Run(ctx)) })
	all.Go(func() { require.NoError(x, wm.Run(context.Background())) })
	x.others = append(x.others, func() {
		require.NoError(x, wm.Close())
		cancel()
		all.Wait()
		require.NoError(x, broker.Close())
		require.NoError(x, s.Close())
	})
	get(x, wm.Running())
	x.until("it is a worker", func() bool {
		found, err := x.look().Find(x.ctx, store.Query{Workers: &store.WorkerQuery{}})
		return err == nil && len(found.Workers) > 0
	})
	return broker
}

// L4, M2, M3, R1
func foreignMessages(x *fixture) {
	n := x.node(nil)
	out, retried := make(chan string, 99), make(chan string, 99)
	n.AddHandler("collect", "out", "", func(msg *message.Message) ([]*message.Message, error) {
		out <- string(msg.Payload)
		return nil, nil
	})
	n.AddHandler("retries", "in", "", func(msg *message.Message) ([]*message.Message, error) {
		retried <- msg.UUID
		return nil, nil
	})
	n.run()
	var ran log[string]
	broker := x.fromBroker(func(msg *message.Message) ([]*message.Message, error) {
		ran.add(msg.UUID)
		if msg.UUID == "fails" {
			return nil, errors.New("no")
		}
		return message.Messages{message.NewMessage("", append([]byte("from "), msg.UUID...))}, nil
	})
	for _, uuid := range []string{"1", "1", "1", "2", "fails", "1", "fails"} {
		require.NoError(x, broker.Publish("in", message.NewMessage(uuid, nil)))
	}
	require.ElementsMatch(x, []string{"from 1", "from 2"}, []string{get(x, out), get(x, out)})
	require.Equal(x, "fails", get(x, retried), "by whoever subscribes in the store")
	x.until("all have ended", func() bool { return len(x.messages()) == 0 })
	require.Empty(x, out)
	require.Empty(x, retried)
	require.ElementsMatch(x, []string{"1", "2", "fails"}, ran.all())
}

// L4
func plainToTask(x *fixture) {
	n := x.node(nil)
	task := saga.NewTask[int]("svc/task")
	ran := make(chan int, 9)
	saga.Handle(n, task, func(_ context.Context, v int) (saga.Step, error) { ran <- v; return nil, nil })
	n.AddHandler("in", "in", "svc", func(*message.Message) ([]*message.Message, error) {
		msg := message.NewMessage("", []byte("7"))
		msg.Metadata.Set("millrace_task", task.Name())
		return message.Messages{msg}, nil
	})
	n.run()
	require.NoError(x, n.Publisher().Publish("in", message.NewMessage("u1", nil)))
	require.Equal(x, 7, get(x, ran))
}

// M7, R6
func foreignTooLarge(x *fixture) {
	const limit = 1000
	n := x.node(func(c *router.Config) { c.PayloadLimit = limit })
	ran := make(chan string, 9)
	task := saga.NewTask[string]("svc/task")
	saga.Handle(n, task, func(_ context.Context, v string) (saga.Step, error) { ran <- v; return nil, nil })
	n.AddHandler("plain", "in", "", func(msg *message.Message) ([]*message.Message, error) {
		ran <- strings.Trim(string(msg.Payload), `"`)
		return nil, nil
	})
	n.run()
	foreign := func(uuid, text string) *message.Message {
		msg := message.NewMessage(uuid, []byte(`"`+text+`"`))
		msg.Metadata.Set("millrace_task", task.Name())
		return msg
	}
	large := foreign("large", strings.Repeat("x", limit))
	if x.place.Transport == "" {
		for _, topic := range []string{"svc", "in"} {
			require.ErrorIs(x, n.Publisher().Publish(topic, large), step.ErrTooLarge)
			require.NoError(x, n.Publisher().Publish(topic, foreign("fits", "fits")))
			require.Equal(x, "fits", get(x, ran))
		}
		return
	}
	t, err := transports.Open(x.ctx, x.place.Transport)
	require.NoError(x, err)
	x.others = append(x.others, func() { require.NoError(x, t.Close()) })
	if a, ok := t.(transports.Attacher); ok {
		s := x.handle()
		x.others = append(x.others, func() { require.NoError(x, s.Close()) })
		_, err := a.Attach(x.ctx, s)
		require.NoError(x, err)
	}
	pub, err := t.Publisher()
	require.NoError(x, err)
	sub, err := t.Subscriber(1)
	require.NoError(x, err)
	for _, topic := range []string{"svc", "in"} {
		parked := topic + ".parked"
		n.topics[parked] = true
		require.NoError(x, pub.Publish(topic, large, foreign("fits", "fits")))
		require.Equal(x, "fits", get(x, ran))
		in, err := sub.Subscribe(x.ctx, parked)
		require.NoError(x, err)
		msg := get(x, in)
		msg.Ack()
		require.Equal(x, large.UUID, msg.UUID)
		require.Equal(x, large.Payload, msg.Payload)
		require.Equal(x, task.Name(), msg.Metadata.Get("millrace_task"))
		require.Contains(x, msg.Metadata.Get("millrace_parked"), "over the size limit")
	}
	require.Empty(x, ran)
}
