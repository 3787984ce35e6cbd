package redisstream_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	plain "github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports/redisstream"
)

func (b *bench) newClient() *redis.Client {
	o := *b.client.Options()
	return redis.NewClient(&o)
}

// Services that use plain watermill-redisstream read what we publish, and we
// read what they do.
//
// L4
func TestPlainWatermillServices(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(redisstream.Config{})
	pub, err := plain.NewPublisher(plain.PublisherConfig{Client: b.newClient()}, watermill.NopLogger{})
	require.NoError(t, err)
	sub, err := plain.NewSubscriber(plain.SubscriberConfig{
		Client: b.newClient(), ConsumerGroup: "plain", DisableIndefiniteInitialBlock: true,
	}, watermill.NopLogger{})
	require.NoError(t, err)

	sent := message.NewMessage("theirs", []byte{0, 255, 'x'})
	sent.Metadata.Set("key", "value")
	require.NoError(t, pub.Publish(b.prefix+"to-us", sent))
	_, ch := subscribe(t, tr, "to-us", 1)
	got := receive(t, ch)
	require.True(t, got.Ack())
	require.True(t, sent.Equals(got))

	sent = message.NewMessage("ours", []byte{255, 0, 'y'})
	sent.Metadata.Set("key", "value")
	mine, err := tr.Publisher()
	require.NoError(t, err)
	require.NoError(t, mine.Publish("to-them", sent))
	theirs, err := sub.Subscribe(t.Context(), b.prefix+"to-them")
	require.NoError(t, err)
	got = receive(t, theirs)
	require.True(t, got.Ack())
	require.True(t, sent.Equals(got))
	require.Eventually(t, func() bool { // though the entry stays in the stream
		n, err := tr.Backlog(t.Context(), "to-them")
		return err == nil && n == 0
	}, patience, time.Millisecond)
	require.NoError(t, sub.Close())
	require.NoError(t, pub.Close())
}

// sameServer is the part of a Redis store that a transport makes use of.
type sameServer struct {
	store.Store
	runID     string
	db        int
	translate func([]store.Publication) ([]store.Statement, error)
}

func (s *sameServer) Server(context.Context) (string, int, error) { return s.runID, s.db, nil }

func (s *sameServer) PublishBy(translate func([]store.Publication) ([]store.Statement, error)) {
	s.translate = translate
}

// A store on the same server publishes by commands of its own; one that lives
// elsewhere does not.
//
// M4
func TestAttach(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(redisstream.Config{})
	info := b.client.InfoMap(t.Context(), "server").Val()["Server"]
	s := &sameServer{runID: info["run_id"], db: b.client.Options().DB}
	in, err := tr.Attach(t.Context(), s)
	require.NoError(t, err)
	require.True(t, in)
	statements, err := s.translate([]store.Publication{
		{Topic: "topic", UUID: "a", Payload: []byte{0, 255}, Metadata: map[string]string{"key": "value"}},
		{Topic: "topic", UUID: "b"},
	})
	require.NoError(t, err)
	for _, st := range statements {
		require.NoError(t, b.client.Do(t.Context(), append([]any{st.Text}, st.Args...)...).Err())
	}
	_, ch := subscribe(t, tr, "topic", 1)
	msg := receive(t, ch)
	require.Equal(t, "a", msg.UUID)
	require.Equal(t, "\x00\xff", string(msg.Payload))
	require.Equal(t, message.Metadata{"key": "value"}, msg.Metadata)
	msg.Ack()
	msg = receive(t, ch)
	require.Equal(t, "b", msg.UUID)
	msg.Ack()

	for _, other := range []store.Store{
		&sameServer{runID: s.runID, db: s.db + 1}, &sameServer{runID: "other", db: s.db}, &sameServer{db: s.db}, nil,
	} {
		in, err := tr.Attach(t.Context(), other)
		require.NoError(t, err)
		require.False(t, in)
	}
}
