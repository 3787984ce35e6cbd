package redisstream

import (
	"context"
	"fmt"
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
)

// chunk is how many commands go out in one round trip.
const chunk = 1000

// publisher outlives the handlers that close it.
type publisher struct{ t *Transport }

var _ transports.BatchPublisher = publisher{}

// Publish implements [message.Publisher]. Its error says that some of the
// messages may not have arrived.
func (p publisher) Publish(topic string, msgs ...*message.Message) error {
	batch := make([]store.Publication, len(msgs))
	for i, msg := range msgs {
		batch[i] = store.Publication{Topic: topic, UUID: msg.UUID, Metadata: msg.Metadata, Payload: msg.Payload}
	}
	return p.PublishBatch(context.Background(), batch)
}

// PublishBatch implements [transports.BatchPublisher].
func (p publisher) PublishBatch(ctx context.Context, batch []store.Publication) error {
	if p.t.isClosed() {
		return fmt.Errorf("publish: %w", errClosed)
	}
	for part := range slices.Chunk(batch, chunk) {
		if err := p.send(ctx, part); err != nil {
			return fmt.Errorf("publish to %s: %w", part[0].Topic, err)
		}
	}
	return nil
}

func (p publisher) send(ctx context.Context, batch []store.Publication) error {
	pipe := p.t.client.Pipeline()
	for _, pub := range batch {
		values, err := fields(pub)
		if err != nil {
			return err
		}
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: p.t.stream(pub.Topic), Values: values})
	}
	_, err := pipe.Exec(ctx)
	return err
}

func (publisher) Close() error { return nil }
