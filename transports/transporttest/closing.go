package transporttest

import (
	"context"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
)

// What a subscription had received and not begun goes to the next one.
func unsubscribedIsGivenBack(x *fixture) {
	topic := x.topic()
	sub, ch := x.subscribe(topic, 10)
	ids := x.publish(topic, 10)
	msg := x.receive(ch)
	require.True(x, msg.Ack())
	delete(ids, msg.UUID)
	closed := background(func() { require.NoError(x, sub.Close()) })
	for _, late := range x.ended(ch) {
		require.True(x, late.Nack())
	}
	x.wait(closed, "the subscriber's end")
	_, next := x.subscribe(topic, 10)
	x.acknowledge(next, ids)
	x.nothing(next)
}

// Closing a subscriber stops receiving and lets handlers in flight finish:
// their contexts go on, and their acknowledgements count.
//
// L1
func drain(x *fixture) {
	topic := x.topic()
	sub, ch := x.subscribe(topic, 3)
	ids := x.publish(topic, 6)
	flying := []*message.Message{x.receive(ch), x.receive(ch), x.receive(ch)}
	closed := background(func() { require.NoError(x, sub.Close()) })
	require.Empty(x, x.ended(ch), "nothing new is begun")
	for _, msg := range flying {
		require.NoError(x, msg.Context().Err(), "the handler may go on")
		require.True(x, msg.Ack())
		delete(ids, msg.UUID)
	}
	x.wait(closed, "the subscriber's end")
	_, next := x.subscribe(topic, 3)
	x.acknowledge(next, ids)
	x.nothing(next)
}

// The same holds for one subscription whose context ends.
//
// L1
func drainOfSubscription(x *fixture) {
	topic := x.topic()
	sub := subscriber(x, x.tr, 1)
	if init, ok := sub.(message.SubscribeInitializer); ok {
		require.NoError(x, init.SubscribeInitialize(topic))
	}
	ctx, cancel := context.WithCancel(x.Context())
	ch, err := sub.Subscribe(ctx, topic)
	require.NoError(x, err)
	other := x.topic()
	stays := x.listen(sub, other)
	ids := x.publish(topic, 2)
	msg := x.receive(ch)
	cancel()
	require.Empty(x, x.ended(ch))
	require.NoError(x, msg.Context().Err())
	require.True(x, msg.Ack())
	delete(ids, msg.UUID)
	x.acknowledge(stays, x.publish(other, 1))
	_, next := x.subscribe(topic, 1)
	x.acknowledge(next, ids)
	x.nothing(next)
}

// Everything can be closed twice, and is closed then.
func closeTwice(x *fixture) {
	topic := x.topic()
	pub := publisher(x, x.tr)
	sub, ch := x.subscribe(topic, 1)
	for range 2 {
		require.NoError(x, sub.Close())
		require.NoError(x, pub.Close())
	}
	require.Empty(x, x.ended(ch))
	_, err := sub.Subscribe(x.Context(), topic)
	require.Error(x, err)
	_, other := x.subscribe(topic, 1)
	x.acknowledge(other, x.publish(topic, 1))
	require.NoError(x, x.tr.Close())
	require.NoError(x, x.tr.Close())
	require.Empty(x, x.ended(other))
}

// A publisher that several share outlives the one who closes it.
func sharedPublisher(x *fixture) {
	topic := x.topic()
	_, ch := x.subscribe(topic, 1)
	pub := publisher(x, x.tr)
	require.NoError(x, pub.Close())
	msg := message.NewMessage(watermill.NewUUID(), nil)
	require.NoError(x, pub.Publish(topic, msg))
	x.acknowledge(ch, map[string]bool{msg.UUID: true})
}

// Two handlers of a Watermill Router share publisher and subscriber; one is
// stopped, and closes both as far as they can be. The other goes on.
func sharedPublisherInRouter(x *fixture) {
	r, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	require.NoError(x, err)
	pub, sub := publisher(x, x.tr), subscriber(x, x.tr, 4)
	in, stopped, out := x.topic(), x.topic(), x.topic()
	copied := func(msg *message.Message) ([]*message.Message, error) {
		return []*message.Message{message.NewMessage(msg.UUID, msg.Payload)}, nil
	}
	_, results := x.subscribe(out, 4)
	r.AddHandler("goes-on", in, sub, out, pub, copied)
	stop := r.AddHandler("stops", stopped, sub, out, pub, copied)
	ran := background(func() { require.NoError(x, r.Run(x.Context())) })
	x.wait(r.Running(), "the router's start")

	x.acknowledge(results, x.publish(stopped, 3))
	stop.Stop()
	x.wait(stop.Stopped(), "the handler's end")
	x.acknowledge(results, x.publish(in, 3))
	require.NoError(x, r.Close())
	x.wait(ran, "the router's end")
}
