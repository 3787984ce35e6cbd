package amqp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill"
	watermillamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace-go/millrace/envelope"
)

// Types of content.
const (
	typeJSON  = "application/json"
	typeBytes = "application/octet-stream"

	// typeWrapped is the type of a body that holds the metadata too, as a JSON
	// object of this package, since they were too long for headers.
	typeWrapped = "application/vnd.millrace.wrapped+json"
)

// Headers of our own; all others are metadata under their own keys.
const (
	headerID      = "millrace_uuid"    // the message's UUID, if it can't be a property
	headerOdd     = "millrace_odd"     // a list of key, value, key, value, for keys that can't be headers
	headerRefused = "millrace_refused" // how often it was refused
	headerReason  = "millrace_reason"  // why it was parked
)

// directReply is an address that only the channel which waits for the reply may
// give; the server closes others.
const directReply = "amq.rabbitmq.reply-to"

// keyType is the metadata key of the content's type.
const keyType = "content_type"

const (
	maxShort   = 255    // bytes of a property, or of a header's key
	maxHeaders = 96_000 // bytes of all; they must fit into one frame of 128 KiB
)

// Marshaler writes a message as others read it: its UUID, and the metadata
// correlation_id, reply_to and content_type, are the standard properties of
// those names, other metadata are headers of type string. Without metadata
// content_type, a body that is JSON is application/json, and any other
// application/octet-stream. It never fails, and every byte of payload and
// metadata comes back.
//
// In what others wrote, headers of other types become text, tables and arrays
// JSON; properties type, app_id, content_encoding, and content types other
// than the two above, become metadata unless a header has that name. A message
// without message_id comes with the UUID of Watermill's own marshaler, or with
// none.
type Marshaler struct{}

var _ watermillamqp.Marshaler = Marshaler{}

// Marshal implements the Marshaler of Watermill's AMQP package. The error is
// always nil. The payload is shared.
func (Marshaler) Marshal(msg *message.Message) (amqp091.Publishing, error) {
	return marshal(msg.UUID, msg.Metadata, msg.Payload), nil
}

func marshal(uuid string, metadata map[string]string, payload []byte) amqp091.Publishing {
	if uuid == "" {
		uuid = watermill.NewUUID()
	}
	p := amqp091.Publishing{
		Headers:      make(amqp091.Table, len(metadata)),
		ContentType:  typeOf(payload),
		DeliveryMode: amqp091.Persistent,
		Timestamp:    time.Now(),
		Body:         payload,
	}
	if tooLong(metadata) {
		p.ContentType, p.Body = typeWrapped, wrap(metadata, payload)
		metadata = nil
	}
	if isProperty(uuid) {
		p.MessageId = uuid
	} else {
		p.Headers[headerID] = uuid
	}
	var odd []any
	for key, value := range metadata {
		switch {
		case key == envelope.CorrelationID && isProperty(value):
			p.CorrelationId = value
		case key == envelope.ReplyTo && isProperty(value) && value != directReply:
			p.ReplyTo = value
		case isOdd(key):
			odd = append(odd, []byte(key), []byte(value))
		default:
			p.Headers[key] = value
		}
	}
	if odd != nil {
		p.Headers[headerOdd] = odd
	}
	if value := metadata[keyType]; isProperty(value) {
		p.ContentType = value
	}
	return p
}

func typeOf(payload []byte) string {
	if len(payload) > 0 && json.Valid(payload) {
		return typeJSON
	}
	return typeBytes
}

// isProperty reports whether a value can be a property that any client reads.
func isProperty(value string) bool {
	return value != "" && len(value) <= maxShort && utf8.ValidString(value)
}

// isOdd reports whether a key can't be a header's: the server gives some a
// meaning, clients can't read others.
func isOdd(key string) bool {
	switch key {
	case "", "CC", "BCC", "x-death", "x-delivery-count", watermillamqp.DefaultMessageUUIDHeaderKey, headerID, headerOdd, headerRefused, headerReason:
		return true
	}
	return len(key) > maxShort || !utf8.ValidString(key)
}

func tooLong(metadata map[string]string) bool {
	n := 0
	for key, value := range metadata {
		n += len(key) + len(value) + 16
	}
	return n > maxHeaders
}

// wrapped is a body with metadata in it.
type wrapped struct {
	Metadata [][2][]byte `json:"metadata"`
	Payload  []byte      `json:"payload"`
}

func wrap(metadata map[string]string, payload []byte) []byte {
	w := wrapped{Payload: payload}
	for key, value := range metadata {
		w.Metadata = append(w.Metadata, [2][]byte{[]byte(key), []byte(value)})
	}
	body, _ := json.Marshal(w) // bytes can always be marshalled
	return body
}

// Unmarshal implements the Marshaler of Watermill's AMQP package. The only
// error there is says that the body claims to hold metadata, and is broken.
// The payload is a copy.
func (Marshaler) Unmarshal(d amqp091.Delivery) (*message.Message, error) {
	msg := message.NewMessage(d.MessageId, bytes.Clone(d.Body)) // a handler may write into it, and d may be needed again
	setProperties(msg.Metadata, d)
	for key, value := range d.Headers {
		switch key {
		case headerID, watermillamqp.DefaultMessageUUIDHeaderKey:
			if msg.UUID == "" {
				msg.UUID = text(value)
			}
		case headerOdd, headerRefused, headerReason:
		default:
			msg.Metadata[key] = text(value)
		}
	}
	odd, _ := d.Headers[headerOdd].([]any)
	for ; len(odd) > 1; odd = odd[2:] {
		msg.Metadata[text(odd[0])] = text(odd[1])
	}
	if d.ContentType == typeWrapped {
		return msg, unwrap(msg)
	}
	return msg, nil
}

// setProperties turns the properties of d into metadata.
func setProperties(metadata message.Metadata, d amqp091.Delivery) {
	set := func(key, value string) {
		if value != "" {
			metadata[key] = value
		}
	}
	set(envelope.CorrelationID, d.CorrelationId)
	set(envelope.ReplyTo, d.ReplyTo)
	set("type", d.Type)
	set("app_id", d.AppId)
	set("content_encoding", d.ContentEncoding)
	switch d.ContentType {
	case typeJSON, typeBytes, typeWrapped:
	default:
		set(keyType, d.ContentType)
	}
}

func unwrap(msg *message.Message) error {
	var w wrapped
	decoder := json.NewDecoder(bytes.NewReader(msg.Payload))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&w); err != nil {
		return fmt.Errorf("body of type %s: %w", typeWrapped, err)
	}
	for _, pair := range w.Metadata {
		msg.Metadata[string(pair[0])] = string(pair[1])
	}
	msg.Payload = w.Payload
	return nil
}

// text says in text what a header holds.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	case amqp091.Decimal:
		return strconv.FormatFloat(float64(v.Value)/math.Pow10(int(v.Scale)), 'f', int(v.Scale), 64)
	case amqp091.Table, []any:
		body, err := json.Marshal(plain(v))
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(body)
	}
	return fmt.Sprint(value)
}

// plain makes JSON's types of what stands in tables and arrays.
func plain(value any) any {
	switch v := value.(type) {
	case amqp091.Table:
		m := make(map[string]any, len(v))
		for key, inner := range v {
			m[key] = plain(inner)
		}
		return m
	case []any:
		a := make([]any, len(v))
		for i, inner := range v {
			a[i] = plain(inner)
		}
		return a
	case nil, bool, int8, uint8, int16, uint16, int32, uint32, int, int64, uint64:
		return v
	}
	return text(value)
}
