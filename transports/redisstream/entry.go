package redisstream

import (
	"errors"
	"fmt"
	"maps"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/millrace-go/millrace/store"
)

// Fields of an entry, as watermill-redisstream names them.
const (
	uuidField     = redisstream.UUIDHeaderKey
	metadataField = "metadata"
	payloadField  = "payload"
)

var errNoMessage = errors.New("the entry has neither an id nor a payload")

// fields makes an entry of a message, for watermill-redisstream's default
// unmarshaller.
func fields(p store.Publication) ([]any, error) {
	msg := message.NewMessage(p.UUID, p.Payload)
	msg.Metadata = p.Metadata
	if _, taken := p.Metadata[uuidField]; taken { // its marshaller refuses that
		msg.Metadata = maps.Clone(msg.Metadata)
		delete(msg.Metadata, uuidField)
	}
	values, err := redisstream.DefaultMarshallerUnmarshaller{}.Marshal(p.Topic, msg)
	if err != nil {
		return nil, fmt.Errorf("message %s for %s: %w", p.UUID, p.Topic, err)
	}
	return []any{uuidField, values[uuidField], metadataField, values[metadataField], payloadField, values[payloadField]}, nil
}

// messageOf makes a message of an entry of anybody's making. One without an id
// gets one of its stream and number, which is the same when it comes again.
func messageOf(stream string, entry redis.XMessage) (msg *message.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("unmarshal: %v", p)
		}
	}()
	_, hasID := entry.Values[uuidField]
	_, hasPayload := entry.Values[payloadField]
	if !hasID && !hasPayload {
		return nil, errNoMessage
	}
	values := entry.Values
	if !hasID {
		values = maps.Clone(values)
		values[uuidField] = stream + "/" + entry.ID
	}
	return redisstream.DefaultMarshallerUnmarshaller{}.Unmarshal(values)
}
