package transporttest

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
)

// A message that was refused comes again as it was, until it is acknowledged.
func nackRedelivers(x *fixture) {
	topic := x.topic()
	_, ch := x.subscribe(topic, 1)
	ids := x.publish(topic, 1)
	for range 3 {
		msg := x.receive(ch)
		require.True(x, ids[msg.UUID])
		require.Equal(x, "0", string(msg.Payload))
		require.True(x, msg.Nack())
	}
	x.acknowledge(ch, ids)
	x.nothing(ch)
}

// One message that is refused each time holds up no other.
//
// R6
func nackKeepsNobodyWaiting(x *fixture) {
	topic := x.topic()
	_, ch := x.subscribe(topic, 1)
	poison := x.publish(topic, 1)
	ids := x.publish(topic, 20)
	for len(ids) > 0 {
		msg := x.receive(ch)
		if poison[msg.UUID] {
			require.True(x, msg.Nack())
			continue
		}
		delete(ids, msg.UUID)
		require.True(x, msg.Ack())
	}
	x.acknowledge(ch, poison)
}

// A subscription has as many messages in flight as it was asked to, and not
// one more. An answer makes room for the next.
func manyInFlight(x *fixture) {
	const limit = 5
	topic := x.topic()
	_, ch := x.subscribe(topic, limit)
	ids := x.publish(topic, 3*limit)
	var flying []*message.Message
	for len(flying) < limit {
		flying = append(flying, x.receive(ch))
	}
	x.nothing(ch)
	for range 2 * limit {
		require.True(x, flying[0].Ack())
		flying = append(flying[1:], x.receive(ch))
	}
	x.nothing(ch)
	for _, msg := range flying {
		require.True(x, ids[msg.UUID])
		require.True(x, msg.Ack())
	}
	x.nothing(ch)
}

// Subscriptions of one topic share its messages: each goes to one of them, and
// one that is busy leaves the rest to the others.
func subscriptionsShare(x *fixture) {
	topic := x.topic()
	_, busy := x.subscribe(topic, 2)
	first := x.publish(topic, 2)
	kept := []*message.Message{x.receive(busy), x.receive(busy)}
	sub := subscriber(x, x.tr, 2)
	a, b := x.listen(sub, topic), x.listen(sub, topic)
	ids := x.publish(topic, 40)
	got := map[string]int{}
	for len(got) < len(ids) {
		var msg *message.Message
		select {
		case msg = <-a:
		case msg = <-b:
		}
		require.NotNil(x, msg)
		require.True(x, ids[msg.UUID], "a message in flight went to another subscription")
		got[msg.UUID]++
		require.True(x, msg.Ack())
	}
	for id, n := range got {
		require.Equal(x, 1, n, "message %s", id)
	}
	for _, msg := range kept {
		require.True(x, first[msg.UUID])
		require.True(x, msg.Ack())
	}
	for _, ch := range []<-chan *message.Message{busy, a, b} {
		x.nothing(ch)
	}
}

// What is published before anybody subscribes is kept.
func queueBeforeSubscribers(x *fixture) {
	topic := x.topic()
	sub := subscriber(x, x.tr, 1)
	if init, ok := sub.(message.SubscribeInitializer); ok {
		require.NoError(x, init.SubscribeInitialize(topic))
	}
	ids := x.publish(topic, 10)
	ch, err := sub.Subscribe(context.Background(), topic)
	require.NoError(x, err)
	x.acknowledge(ch, ids)
	x.nothing(ch)
}
