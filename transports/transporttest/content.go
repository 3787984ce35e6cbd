package transporttest

import (
	"strings"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
)

// every byte there is.
func every() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// Payloads arrive byte-identical, metadata too.
//
// M7
func opaque(x *fixture) {
	texts := []string{
		"", " ", "a\nb\r\n", `quotes ' " and \ and %s`, "umlaut ä, kanji 水, clef \U0001d11e",
		"'; DROP TABLE messages; --", "return redis.call('FLUSHALL')", strings.Repeat("long ", 1000),
	}
	topic := x.topic()
	_, ch := x.subscribe(topic, 1)
	payloads := [][]byte{nil, every(), {0}, []byte("\xff\xfe not UTF-8"), make([]byte, 200_000)}
	for _, s := range texts {
		payloads = append(payloads, []byte(s))
	}
	for i, payload := range payloads {
		sent := message.NewMessage(watermill.NewUUID(), payload)
		for j, s := range texts {
			sent.Metadata.Set("key"+strings.Repeat("_", j), s)
		}
		sent.Metadata.Set("MixedCase", "x")
		require.NoError(x, publisher(x, x.tr).Publish(topic, sent))
		got := x.receive(ch)
		require.Equal(x, sent.UUID, got.UUID)
		require.Equal(x, string(payload), string(got.Payload), "payload %d", i)
		for k, v := range sent.Metadata {
			require.Equal(x, v, got.Metadata[k], "metadata %q", k)
		}
		require.True(x, got.Ack())
	}
}

// Metadata of unknown make, also under our own keys, stops nobody: the message
// arrives, and so does the next one. What a publisher does to its payload
// afterwards, or a subscriber to the one that it got, changes nobody else's.
//
// M6
func foreignMetadata(x *fixture) {
	topic := x.topic()
	_, ch := x.subscribe(topic, 1)
	payload := []byte("mine")
	sent := message.NewMessage(watermill.NewUUID(), payload)
	sent.Metadata = message.Metadata{
		"":                 "no key",
		"x-death":          `[{"count":3}]`,
		"millrace_task":    "no such task",
		"millrace_run":     "\x00",
		"millrace_attempt": "many",
		"bytes":            "\xff\xfe",
	}
	require.NoError(x, publisher(x, x.tr).Publish(topic, sent))
	payload[0] = '?'
	got := x.receive(ch)
	require.Equal(x, "mine", string(got.Payload))
	require.Equal(x, `[{"count":3}]`, got.Metadata["x-death"])
	got.Payload[0] = '!'
	require.True(x, got.Nack())
	again := x.receive(ch)
	require.Equal(x, "mine", string(again.Payload))
	require.True(x, again.Ack())
	x.acknowledge(ch, x.publish(topic, 1))
}

// What can't be unmarshalled stops nobody either.
//
// M6
func malformed(x *fixture) {
	if x.factory.Malformed == nil {
		x.Skip("nothing can be malformed here")
	}
	topic := x.topic()
	sub := subscriber(x, x.tr, 1)
	ch := x.listen(sub, topic)
	x.factory.Malformed(x, x.tr, topic)
	ids := x.publish(topic, 1)
	for !ids[x.receiveAndAck(ch)] {
		x.Log("what was malformed is handed on")
	}
}

func (x *fixture) receiveAndAck(ch <-chan *message.Message) string {
	msg := x.receive(ch)
	require.True(x, msg.Ack())
	return msg.UUID
}
