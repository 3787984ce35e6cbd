package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
)

// bus is a broker as a plain Watermill Router uses it.
type bus struct {
	publisher   message.Publisher
	subscribers []message.Subscriber // of each topic
	close       func() error
}

// buses make one with its topics, by the scheme of the broker's URL.
var buses = map[string]func(ctx context.Context, p *place, topics []string) (*bus, error){
	"gochannel":     goChannelBus,
	"memory":        goChannelBus,
	"amqp":          amqpBus,
	"redis":         redisBus,
	"watermill-sql": sqlBus,
}

// plainSubscriptions are how many a plain Router has of each topic: each has
// one message in flight.
const plainSubscriptions = 32

// plain measures chain3 on a plain Watermill Router over a broker, with the
// same payload and codec: no state, and nothing exactly once.
func plain(ctx context.Context, b *bench) (l line, err error) {
	p, err := b.place(ctx)
	if err != nil {
		return line{}, err
	}
	defer func() { err = errors.Join(err, p.drop()) }()
	open := buses[scheme(b.transport)]
	if open == nil {
		return line{}, fmt.Errorf("a plain Router over %s is not known here", scheme(b.transport))
	}
	topics := plainTopics(p.service)
	over, err := open(ctx, p, topics[:chain3Steps])
	if err != nil {
		return line{}, err
	}
	defer func() { err = errors.Join(err, over.close()) }()
	wm, err := message.NewRouter(message.RouterConfig{CloseTimeout: patience}, watermill.NopLogger{})
	if err != nil {
		return line{}, err
	}
	c := newPlainChain(b.n)
	c.bind(wm, over, topics)
	return c.run(ctx, wm, func(v payload) error { return publish(over.publisher, topics[0], v) }, b.clients)
}

// plainBeside measures the plain Router over the pair's broker; 0 when there
// is none.
func plainBeside(ctx context.Context, b *bench) (float64, error) {
	if !b.pair.brokered() || buses[scheme(b.transport)] == nil {
		return 0, nil
	}
	on := *b
	on.n = min(max(b.n, 100), 5000)
	if scheme(b.transport) != "watermill-sql" {
		on.store = "memory:"
	}
	l, err := plain(ctx, &on)
	if err != nil {
		return 0, fmt.Errorf("plain Router: %w", err)
	}
	return l.StepsPerS, nil
}

// plainTopics has one for each step, and one that nothing is published to.
func plainTopics(service string) []string {
	var out []string
	for i := range chain3Steps + 1 {
		out = append(out, fmt.Sprintf("%s-step%d", service, i))
	}
	return out
}

// plainChain is what is known of runs of handlers that hand a payload on.
type plainChain struct {
	*record
	begun, ended []time.Time // by run
}

func newPlainChain(n int) *plainChain {
	return &plainChain{newRecord(n, chain3Steps), make([]time.Time, n), make([]time.Time, n)}
}

// bind adds the handlers, as many for each topic as it has subscribers.
func (c *plainChain) bind(wm *message.Router, over *bus, topics []string) {
	for i := range c.steps {
		for k, sub := range over.subscribers {
			name := fmt.Sprintf("%s-%d", topics[i], k)
			wm.AddHandler(name, topics[i], sub, topics[i+1], keptOpen{over.publisher}, c.handler(i))
		}
	}
}

func (c *plainChain) handler(step int) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		var p payload
		if err := json.Unmarshal(msg.Payload, &p); err != nil {
			return nil, err
		}
		first := c.first(p.Run, step)
		if step < c.steps-1 {
			p.Step++
			data, err := json.Marshal(p)
			return message.Messages{message.NewMessage(watermill.NewUUID(), data)}, err
		}
		if first {
			c.ended[p.Run] = time.Now()
		}
		return nil, nil
	}
}

// run publishes the first message of each run and waits for the last handlers.
func (c *plainChain) run(ctx context.Context, wm *message.Router, start func(payload) error, clients int) (line, error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- wm.Run(ctx) }()
	<-wm.Running()
	m, err := measure(func() error {
		err := share(ctx, clients, len(c.begun), func(_ context.Context, i int) error {
			c.begun[i] = time.Now()
			return start(newPayload(i, 0))
		})
		if err != nil {
			return err
		}
		return c.wait(ctx)
	})
	cancel()
	if end := <-done; err == nil {
		err = end
	}
	l := m.line(len(c.begun), c.steps*len(c.begun))
	l.timeline(c.samples())
	l.Duplicates, l.Losses = c.faults()
	return l, err
}

func (c *plainChain) samples() []sample {
	var out []sample
	for i, at := range c.ended {
		if !at.IsZero() {
			out = append(out, sample{at, at.Sub(c.begun[i])})
		}
	}
	return out
}

func publish(p message.Publisher, topic string, v payload) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return p.Publish(topic, message.NewMessage(watermill.NewUUID(), data))
}

// keptOpen is a publisher that several handlers share: the Router closes the
// publisher of each handler that stops.
type keptOpen struct{ message.Publisher }

func (keptOpen) Close() error { return nil }

// goChannelBus is one in memory. One subscription has everything in flight.
func goChannelBus(context.Context, *place, []string) (*bus, error) {
	ch := gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 64}, watermill.NopLogger{})
	return &bus{publisher: ch, subscribers: []message.Subscriber{ch}, close: ch.Close}, nil
}
