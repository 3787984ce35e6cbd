package amqp_test

import (
	"encoding/json"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace-go/millrace/transports/amqp"
)

// delivery is what a server makes of p.
func delivery(p amqp091.Publishing) amqp091.Delivery {
	return amqp091.Delivery{
		Headers: p.Headers, ContentType: p.ContentType, ContentEncoding: p.ContentEncoding, DeliveryMode: p.DeliveryMode,
		CorrelationId: p.CorrelationId, ReplyTo: p.ReplyTo, MessageId: p.MessageId, Timestamp: p.Timestamp,
		Type: p.Type, AppId: p.AppId, Body: p.Body,
	}
}

func marshal(t require.TestingT, msg *message.Message) amqp091.Publishing {
	p, err := amqp.Marshaler{}.Marshal(msg)
	require.NoError(t, err)
	require.NoError(t, p.Headers.Validate())
	for _, property := range []string{p.MessageId, p.CorrelationId, p.ReplyTo, p.ContentType} {
		require.LessOrEqual(t, len(property), 255)
	}
	for key := range p.Headers {
		require.LessOrEqual(t, len(key), 255)
	}
	return p
}

// Whatever a message holds arrives.
//
// M7
func TestWhatIsMarshalledComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			"", "CC", "BCC", "x-death", "x-delivery-count", "correlation_id", "reply_to", "content_type", "type", "app_id",
			"millrace_uuid", "millrace_odd", "millrace_refused", "millrace_reason", "\xff\xfe", strings.Repeat("k", 256),
			"_watermill_message_uuid",
		}))
		values := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			"", "\x00", "\xff", "amq.rabbitmq.reply-to", "application/json", strings.Repeat("v", 256), strings.Repeat("w", 60_000),
		}))
		sent := message.NewMessage(rapid.StringN(1, 300, -1).Draw(t, "id"), rapid.SliceOf(rapid.Byte()).Draw(t, "payload"))
		sent.Metadata = rapid.MapOfN(keys, values, 0, 8).Draw(t, "metadata")
		want := maps.Clone(sent.Metadata)
		got, err := amqp.Marshaler{}.Unmarshal(delivery(marshal(t, sent)))
		require.NoError(t, err)
		require.Equal(t, sent.UUID, got.UUID)
		require.Equal(t, string(sent.Payload), string(got.Payload))
		require.Equal(t, want, got.Metadata)
	})
}

func TestContentTypeSaysWhetherTheBodyIsJSON(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1}`: "application/json", `3`: "application/json",
		``: "application/octet-stream", `{`: "application/octet-stream", "\xff": "application/octet-stream",
	} {
		p := marshal(t, message.NewMessage("id", []byte(body)))
		require.Equal(t, want, p.ContentType, body)
		require.Equal(t, body, string(p.Body))
		require.EqualValues(t, amqp091.Persistent, p.DeliveryMode)
		require.WithinDuration(t, time.Now(), p.Timestamp, time.Minute)
	}
	msg := message.NewMessage("id", []byte("<a/>"))
	msg.Metadata.Set("content_type", "text/xml")
	require.Equal(t, "text/xml", marshal(t, msg).ContentType)
}

// Headers of any type are kept as text, and nothing stops the consumer.
//
// M6
func TestForeignHeadersAreKeptAsText(t *testing.T) {
	at := time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)
	got, err := amqp.Marshaler{}.Unmarshal(amqp091.Delivery{
		MessageId: "id", CorrelationId: "c", ReplyTo: "r", Type: "t", AppId: "a", ContentEncoding: "gzip",
		ContentType: "text/plain", Body: []byte("body"),
		Headers: amqp091.Table{
			"text": "text", "bytes": []byte("\xff"), "nil": nil, "bool": true, "int": int32(-1), "long": int64(math.MaxInt64),
			"float": 0.5, "nan": math.NaN(), "time": at, "decimal": amqp091.Decimal{Scale: 2, Value: 314},
			"x-death": []any{amqp091.Table{"count": int64(3), "queue": "q", "time": at, "inf": math.Inf(1)}},
			"empty":   []any{}, "app_id": "of the header",
		},
	})
	require.NoError(t, err)
	require.Equal(t, message.Metadata{
		"correlation_id": "c", "reply_to": "r", "type": "t", "app_id": "of the header", "content_encoding": "gzip", "content_type": "text/plain",
		"text": "text", "bytes": "\xff", "nil": "", "bool": "true", "int": "-1", "long": "9223372036854775807",
		"float": "0.5", "nan": "NaN", "time": "2026-11-22T01:02:03Z", "decimal": "3.14",
		"x-death": `[{"count":3,"inf":"+Inf","queue":"q","time":"2026-11-22T01:02:03Z"}]`, "empty": "[]",
	}, got.Metadata)
}

func TestUUIDOfWatermillsOwnMarshaler(t *testing.T) {
	got, err := amqp.Marshaler{}.Unmarshal(amqp091.Delivery{Headers: amqp091.Table{"_watermill_message_uuid": "theirs"}})
	require.NoError(t, err)
	require.Equal(t, "theirs", got.UUID)
}

// headers reads a JSON object as a client might have written it.
func headers(text string) amqp091.Table {
	var m map[string]any
	if json.Unmarshal([]byte(text), &m) != nil {
		return amqp091.Table{"text": text}
	}
	return table(m)
}

func table(m map[string]any) amqp091.Table {
	t := amqp091.Table{}
	for key, value := range m {
		t[key] = value
		if inner, ok := value.(map[string]any); ok {
			t[key] = table(inner)
		}
	}
	return t
}

// Nothing makes it panic, and only a body that claims to hold metadata is
// refused.
//
// M6
func FuzzUnmarshal(f *testing.F) {
	f.Add("application/vnd.millrace.wrapped+json", `{"metadata":[["YQ==","Yg=="]],"payload":"Yw=="}`, `{}`, "id")
	f.Add("application/vnd.millrace.wrapped+json", `{"metadata":[[]]}`, `{"millrace_odd":[1]}`, "")
	f.Add("application/json", `{}`, `{"millrace_odd":["a","b",{}],"x-death":[{"count":1}],"a":{"b":[null,1.5,true]}}`, "")
	f.Add("", "", "\xff", "\x00")
	f.Fuzz(func(t *testing.T, contentType, body, head, id string) {
		d := amqp091.Delivery{ContentType: contentType, Body: []byte(body), Headers: headers(head), MessageId: id}
		got, err := amqp.Marshaler{}.Unmarshal(d)
		if err != nil {
			require.Equal(t, "application/vnd.millrace.wrapped+json", contentType)
			return
		}
		again, err := amqp.Marshaler{}.Unmarshal(delivery(marshal(t, got)))
		require.NoError(t, err)
		require.Equal(t, string(got.Payload), string(again.Payload))
		require.Equal(t, got.Metadata, again.Metadata)
	})
}
