package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
)

// plain measures chain3 on a plain Watermill Router over GoChannel, with the
// same payload and codec: no state, nothing durable, nothing exactly once.
func plain(ctx context.Context, b *bench) (line, error) {
	rec := newRecord(b.n, 3)
	ch := gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 64}, watermill.NopLogger{})
	wm, err := message.NewRouter(message.RouterConfig{CloseTimeout: patience}, watermill.NopLogger{})
	if err != nil {
		return line{}, err
	}
	plainChain(wm, ch, 3, rec)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- wm.Run(ctx) }()
	<-wm.Running()

	begun := make([]time.Time, b.n)
	m, err := measure(func() error {
		err := share(ctx, b.clients, b.n, func(_ context.Context, i int) error {
			begun[i] = time.Now()
			return publish(ch, plainTopic(0), newPayload(i, 0))
		})
		if err != nil {
			return err
		}
		return rec.wait(ctx)
	})
	cancel()
	if end := <-done; err == nil {
		err = end
	}
	l := m.line(b.n, 3*b.n)
	l.Store, l.Transport = "none", "gochannel"
	l.Duplicates, l.Losses = rec.faults()
	return l, err
}

func plainTopic(step int) string { return fmt.Sprintf("plain-step%d", step) }

func publish(p message.Publisher, topic string, v payload) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return p.Publish(topic, message.NewMessage(watermill.NewUUID(), data))
}

// plainChain adds handlers that hand a payload on, one to the next.
func plainChain(wm *message.Router, ch *gochannel.GoChannel, length int, rec *record) {
	for i := range length {
		handle := func(msg *message.Message) ([]*message.Message, error) {
			var p payload
			if err := json.Unmarshal(msg.Payload, &p); err != nil {
				return nil, err
			}
			rec.enter(p.Run, i)
			if i == length-1 {
				return nil, nil
			}
			p.Step++
			data, err := json.Marshal(p)
			if err != nil {
				return nil, err
			}
			return []*message.Message{message.NewMessage(watermill.NewUUID(), data)}, nil
		}
		wm.AddHandler(plainTopic(i), plainTopic(i), ch, plainTopic(i+1), ch, handle)
	}
}
