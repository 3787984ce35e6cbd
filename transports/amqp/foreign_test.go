package amqp_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	watermillamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/transports/amqp"
)

// get takes one message from a queue, as a client in any language could.
func get(t testing.TB, ch *amqp091.Channel, queue string) (d amqp091.Delivery) {
	t.Helper()
	require.Eventually(t, func() bool {
		var some bool
		var err error
		d, some, err = ch.Get(queue, true)
		require.NoError(t, err)
		return some
	}, 30*time.Second, 5*time.Millisecond)
	return d
}

func put(t testing.TB, ch *amqp091.Channel, queue string, p amqp091.Publishing) {
	t.Helper()
	require.NoError(t, ch.PublishWithContext(context.Background(), "", queue, true, false, p))
}

// W8
func TestRawClientReadsStandardProperties(t *testing.T) {
	server := servers.AMQP(t)
	topic := "raw-" + watermill.NewShortUUID()
	msg := message.NewMessage("the-id", []byte(`{"order":1}`))
	msg.Metadata = message.Metadata{"correlation_id": "c-1", "reply_to": "answers", "lang": "en"}
	require.NoError(t, batchPublisher(t, open(t, amqp.Config{URL: server})).Publish(topic, msg))
	d := get(t, connect(t, server), topic)
	require.Equal(t, "the-id", d.MessageId)
	require.Equal(t, "c-1", d.CorrelationId)
	require.Equal(t, "answers", d.ReplyTo)
	require.Equal(t, "application/json", d.ContentType)
	require.EqualValues(t, amqp091.Persistent, d.DeliveryMode)
	require.WithinDuration(t, time.Now(), d.Timestamp, time.Minute)
	delete(d.Headers, "x-delivery-count") // the server's
	require.Equal(t, amqp091.Table{"lang": "en"}, d.Headers)
	require.Equal(t, `{"order":1}`, string(d.Body))
}

// L4
func TestMessageOfRawClient(t *testing.T) {
	server := servers.AMQP(t)
	topic := "raw-" + watermill.NewShortUUID()
	msgs := subscribe(t, open(t, amqp.Config{URL: server}), topic, 1)
	put(t, connect(t, server), topic, amqp091.Publishing{
		MessageId: "theirs", CorrelationId: "c", ReplyTo: "r", UserId: "millrace", Body: []byte("body"),
		Headers: amqp091.Table{"count": int32(3), "x-death": []any{amqp091.Table{"count": int64(1)}}},
	})
	for range 3 { // refusing it changes nothing
		msg := receive(t, msgs)
		require.Equal(t, "theirs", msg.UUID)
		require.Equal(t, "body", string(msg.Payload))
		require.Equal(t, message.Metadata{"correlation_id": "c", "reply_to": "r", "count": "3", "x-death": `[{"count":1}]`}, msg.Metadata)
		require.True(t, msg.Nack())
	}
	require.True(t, receive(t, msgs).Ack())
}

// A message without an id gets one, and keeps it, also when the subscriber
// dies with it.
//
// L4
func TestMessageWithoutIDKeepsTheOneItGets(t *testing.T) {
	server := servers.AMQP(t)
	topic := "nameless-" + watermill.NewShortUUID()
	c := amqp.Config{URL: server, Drain: time.Millisecond}
	tr := open(t, c)
	msgs := subscribe(t, tr, topic, 1)
	raw := connect(t, server)
	put(t, raw, topic, amqp091.Publishing{Body: []byte("one")})
	first := receive(t, msgs)
	require.NotEmpty(t, first.UUID)
	require.True(t, first.Nack())
	second := receive(t, msgs)
	require.Equal(t, first.UUID, second.UUID)
	require.NoError(t, tr.Close()) // and it was not acknowledged
	put(t, raw, topic, amqp091.Publishing{Body: []byte("two")})
	msgs = subscribe(t, open(t, c), topic, 1)
	third := receive(t, msgs)
	require.Equal(t, first.UUID, third.UUID)
	require.Equal(t, "one", string(third.Payload))
	require.True(t, third.Ack())
	other := receive(t, msgs)
	require.NotEqual(t, first.UUID, other.UUID)
	require.Equal(t, "two", string(other.Payload))
	require.True(t, other.Ack())
}

// What can't be understood is kept whole where people can look at it.
//
// M6
func TestMalformedIsParked(t *testing.T) {
	server := servers.AMQP(t)
	topic := "parks-" + watermill.NewShortUUID()
	tr := open(t, amqp.Config{URL: server})
	subscribe(t, tr, topic, 1)
	raw := connect(t, server)
	put(t, raw, topic, amqp091.Publishing{
		ContentType: "application/vnd.millrace.wrapped+json", MessageId: "bad", Body: []byte("{"), Headers: amqp091.Table{"a": int32(1)},
	})
	require.Eventually(t, func() bool {
		n, err := tr.Backlog(t.Context(), topic+".parked")
		require.NoError(t, err)
		return n == 1
	}, 30*time.Second, 5*time.Millisecond)
	d := get(t, raw, topic+".parked")
	require.Equal(t, "bad", d.MessageId)
	require.Equal(t, "{", string(d.Body))
	require.EqualValues(t, 1, d.Headers["a"])
	require.Contains(t, d.Headers["millrace_reason"], "unexpected EOF")
	_, some, err := raw.Get(topic, true)
	require.NoError(t, err)
	require.False(t, some, "it is gone from its queue")
}

// A queue that is deleted delivers nothing, least of all an empty message.
func TestDeletedQueueDeliversNothing(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			server := servers.AMQP(t)
			topic := "phantom-" + watermill.NewShortUUID()
			tr := open(t, amqp.Config{URL: server, Queue: kind})
			msgs := subscribe(t, tr, topic, 3)
			for i := range 5 {
				deleteQueue(t, server, topic)
				id := string(rune('a' + i))
				require.NoError(t, batchPublisher(t, tr).Publish(topic, message.NewMessage(id, nil)))
				msg := receive(t, msgs)
				require.Equal(t, id, msg.UUID)
				require.True(t, msg.Ack())
			}
		})
	}
}

// Services that use Watermill's own package share topics with this one.
//
// L4
func TestWatermillsPackageSharesTopics(t *testing.T) {
	c := amqp.Config{URL: servers.AMQP(t)}
	theirs, err := c.Watermill()
	require.NoError(t, err)
	topic := "shared-" + watermill.NewShortUUID()
	tr := open(t, c)

	theirPub, err := watermillamqp.NewPublisher(theirs, watermill.NopLogger{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, theirPub.Close()) })
	require.NoError(t, batchPublisher(t, tr).Publish(topic, message.NewMessage("ours", []byte("1"))))
	require.NoError(t, theirPub.Publish(topic, message.NewMessage("theirs", []byte("2"))))
	msgs := subscribe(t, tr, topic, 2)
	for _, id := range []string{"ours", "theirs"} {
		msg := receive(t, msgs)
		require.Equal(t, id, msg.UUID)
		require.True(t, msg.Ack())
	}

	theirSub, err := watermillamqp.NewSubscriber(theirs, watermill.NopLogger{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, theirSub.Close()) })
	sent := message.NewMessage("again", []byte("3"))
	sent.Metadata.Set("CC", "odd")
	require.NoError(t, batchPublisher(t, tr).Publish(topic+"-back", sent))
	got, err := theirSub.Subscribe(t.Context(), topic+"-back")
	require.NoError(t, err)
	msg := receive(t, got)
	require.Equal(t, "again", msg.UUID)
	require.Equal(t, "odd", msg.Metadata["CC"])
	require.True(t, msg.Ack())
}
