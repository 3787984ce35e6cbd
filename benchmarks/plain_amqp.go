package main

import (
	"context"
	"errors"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
)

// amqpBus has durable queues, persistent messages and confirms: what is needed
// so that nothing that was published is lost.
func amqpBus(_ context.Context, p *place, topics []string) (*bus, error) {
	c := amqp.NewDurableQueueConfig(p.transport)
	c.Publish.ConfirmDelivery = true
	c.Publish.ChannelPoolSize = plainSubscriptions
	log := watermill.NopLogger{}
	pub, err := amqp.NewPublisher(c, log)
	if err != nil {
		return nil, err
	}
	sub, err := amqp.NewSubscriber(c, log)
	if err != nil {
		return nil, errors.Join(err, pub.Close())
	}
	return &bus{
		publisher: pub, subscribers: several(sub),
		close: func() error { return errors.Join(pub.Close(), sub.Close(), deleteQueues(p.transport, topics...)) },
	}, nil
}

// several is a subscriber whose subscriptions share the messages, so many
// times.
func several(s message.Subscriber) []message.Subscriber {
	var out []message.Subscriber
	for range plainSubscriptions {
		out = append(out, s)
	}
	return out
}
