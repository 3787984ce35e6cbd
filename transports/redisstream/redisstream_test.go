package redisstream_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/redisstream"
	"github.com/millrace-go/millrace/transports/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long something that must happen may take.
const patience = 20 * time.Second

// silent drops what is said.
var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// bench is a part of a Redis server that only one test uses: names that begin
// with prefix.
type bench struct {
	testing.TB
	url, prefix string
	client      *redis.Client
}

func newBench(t testing.TB) *bench { return benchOn(t, servers.Redis(t)) }

func benchOn(t testing.TB, url string) *bench {
	o, err := redis.ParseURL(url)
	require.NoError(t, err)
	o.Protocol = 2
	b := &bench{TB: t, url: url, prefix: "test:" + watermill.NewShortUUID() + ":", client: redis.NewClient(o)}
	t.Cleanup(func() {
		b.wipe()
		require.NoError(t, b.client.Close())
	})
	return b
}

// open connects to the bench.
func (b *bench) open(c redisstream.Config) *redisstream.Transport {
	b.Helper()
	c.Prefix = b.prefix
	if c.Log == nil {
		c.Log = silent
	}
	tr, err := redisstream.Open(b.Context(), b.url, c)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, tr.Close()) })
	return tr
}

func (b *bench) keys() []string {
	var keys []string
	it := b.client.Scan(context.Background(), 0, b.prefix+"*", 1000).Iterator()
	for it.Next(context.Background()) {
		keys = append(keys, it.Val())
	}
	return keys
}

func (b *bench) wipe() {
	if keys := b.keys(); len(keys) > 0 {
		_ = b.client.Del(context.Background(), keys...).Err() // a server that a test has ended has no keys
	}
}

// settled fails the test if a transport that was closed has left something
// behind in its groups.
func (b *bench) settled() {
	for _, key := range b.keys() {
		groups, err := b.client.XInfoGroups(context.Background(), key).Result()
		require.NoError(b, err)
		for _, g := range groups {
			require.Zero(b, g.Pending, "pending in %s", key)
			require.Zero(b, g.Consumers, "consumers of %s", key)
		}
	}
}

func publish(t testing.TB, tr transports.Transport, topic string, ids ...string) {
	t.Helper()
	pub, err := tr.Publisher()
	require.NoError(t, err)
	for _, id := range ids {
		require.NoError(t, pub.Publish(topic, message.NewMessage(id, []byte("payload of "+id))))
	}
}

func subscribe(t testing.TB, tr transports.Transport, topic string, concurrency int) (message.Subscriber, <-chan *message.Message) {
	t.Helper()
	sub, err := tr.Subscriber(concurrency)
	require.NoError(t, err)
	ch, err := sub.Subscribe(t.Context(), topic)
	require.NoError(t, err)
	return sub, ch
}

func receive(t testing.TB, ch <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case msg, open := <-ch:
		require.True(t, open, "the subscription has ended")
		return msg
	case <-time.After(patience):
		require.FailNow(t, "no message came")
		return nil
	}
}

func TestTransport(t *testing.T) {
	benches := map[transports.Transport]*bench{}
	transporttest.Run(t, transporttest.Factory{
		Open: func(t testing.TB) transports.Transport {
			b := newBench(t)
			tr := b.open(redisstream.Config{Drain: 100 * time.Millisecond}) // one of Watermill's tests leaves a message without an answer
			benches[tr] = b
			return tr
		},
		Features: tests.Features{Persistent: true},
		Malformed: func(t testing.TB, tr transports.Transport, topic string) {
			b := benches[tr]
			for _, values := range malformed {
				require.NoError(t, b.client.XAdd(t.Context(), &redis.XAddArgs{Stream: b.prefix + topic, Values: values}).Err())
			}
		},
		Settled: func(_ testing.TB, tr transports.Transport) { benches[tr].settled() },
	})
}

// malformed entries are no messages of watermill-redisstream.
var malformed = []map[string]any{
	{"a": "b"},
	{"": ""},
	{"metadata": "\xff\xff\xff"},
	{"_watermill_message_uuid": "id", "payload": "x", "metadata": "no msgpack"},
	{"_watermill_message_uuid": "id", "payload": "x", "metadata": "\xdf\xff\xff\xff\xff"}, // a map of 4 G entries
}

func TestURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://127.0.0.1:1/0?nonsense=1":           "nonsense",
		"redis://127.0.0.1:1/x":                      "redis:",
		"redis://127.0.0.1:1/0?claim=soon":           "option claim=soon",
		"redis://127.0.0.1:1/0?claim=-1s":            "claim is -1s",
		"redis://127.0.0.1:1/0?drain=-1s":            "drain is -1s",
		"redis://127.0.0.1:1/0?keep=maybe":           "option keep=maybe",
		"redis://user:secret@127.0.0.1:1/0":          "no Redis server answers at 127.0.0.1:1",
		"rediss://user:secret@127.0.0.1:1/0?group=g": "no Redis server answers at 127.0.0.1:1",
	} {
		_, err := transports.Open(t.Context(), url)
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestClosedTransportSaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(redisstream.Config{})
	pub, err := tr.Publisher()
	require.NoError(t, err)
	require.NoError(t, tr.Close())
	require.ErrorContains(t, pub.Publish("topic", message.NewMessage("id", nil)), "closed")
	_, err = tr.Subscriber(1)
	require.ErrorContains(t, err, "closed")
	_, err = tr.Publisher()
	require.ErrorContains(t, err, "closed")
}

// A stream is as long as its backlog.
//
// L6
func TestBacklog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(redisstream.Config{})
	backlog := func() int {
		n, err := tr.Backlog(t.Context(), "topic")
		require.NoError(t, err)
		return n
	}
	require.Zero(t, backlog())
	publish(t, tr, "topic", "a", "b", "c")
	require.Equal(t, 3, backlog())
	_, ch := subscribe(t, tr, "topic", 1)
	receive(t, ch).Ack()
	msg := receive(t, ch)
	require.Eventually(t, func() bool { return backlog() == 2 }, patience, time.Millisecond)
	msg.Ack()
	receive(t, ch).Ack()
	require.Eventually(t, func() bool { return backlog() == 0 }, patience, time.Millisecond)
	require.Zero(t, b.client.XLen(t.Context(), b.prefix+"topic").Val())
}

// What is no message is put away, with the reason.
//
// M6
func TestMalformedEntriesAreParked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(redisstream.Config{})
	for _, values := range malformed {
		require.NoError(t, b.client.XAdd(t.Context(), &redis.XAddArgs{Stream: b.prefix + "topic", Values: values}).Err())
	}
	publish(t, tr, "topic", "good")
	_, ch := subscribe(t, tr, "topic", 1)
	msg := receive(t, ch)
	require.Equal(t, "good", msg.UUID)
	parked, err := b.client.XRange(t.Context(), b.prefix+"topic.parked", "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, parked, len(malformed))
	for i, entry := range parked {
		require.NotEmpty(t, entry.Values["parked_because"])
		for k, v := range malformed[i] {
			require.Equal(t, v, entry.Values[k])
		}
	}
	msg.Ack()
	require.Eventually(t, func() bool { return b.client.XLen(t.Context(), b.prefix+"topic").Val() == 0 }, patience, time.Millisecond)
}

// An entry without an id, from a producer that knows nothing of Watermill, has
// one that stays the same when it comes again, also to another subscription.
//
// L4
func TestEntryWithoutAnID(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(redisstream.Config{})
	id, err := b.client.XAdd(t.Context(), &redis.XAddArgs{Stream: b.prefix + "topic", Values: map[string]any{"payload": "{}"}}).Result()
	require.NoError(t, err)
	sub, ch := subscribe(t, tr, "topic", 1)
	msg := receive(t, ch)
	require.Equal(t, b.prefix+"topic/"+id, msg.UUID)
	require.Equal(t, "{}", string(msg.Payload))
	msg.Nack()
	msg = receive(t, ch)
	require.Equal(t, b.prefix+"topic/"+id, msg.UUID)
	go msg.Nack()
	require.NoError(t, sub.Close())
	_, ch = subscribe(t, tr, "topic", 1)
	msg = receive(t, ch)
	require.Equal(t, b.prefix+"topic/"+id, msg.UUID)
	msg.Ack()
}

// A metadata key that watermill-redisstream reserves keeps nobody from
// publishing.
//
// M6
func TestReservedMetadata(t *testing.T) {
	t.Parallel()
	tr := newBench(t).open(redisstream.Config{})
	_, ch := subscribe(t, tr, "topic", 1)
	sent := message.NewMessage("id", nil)
	sent.Metadata = message.Metadata{"_watermill_message_uuid": "other", "key": "value"}
	pub, err := tr.Publisher()
	require.NoError(t, err)
	require.NoError(t, pub.Publish("topic", sent))
	msg := receive(t, ch)
	require.Equal(t, "id", msg.UUID)
	require.Equal(t, message.Metadata{"key": "value"}, msg.Metadata)
	msg.Ack()
	require.Len(t, sent.Metadata, 2)
}

// With Keep, other groups of the stream miss nothing.
func TestKeepLeavesEntriesToOtherGroups(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := b.open(redisstream.Config{Keep: true, Group: "one", ClaimAfter: 200 * time.Millisecond, Drain: time.Millisecond})
	two := b.open(redisstream.Config{Keep: true, Group: "two"})
	publish(t, one, "topic", "a", "b")
	sub, ch := subscribe(t, one, "topic", 1)
	receive(t, ch).Ack()
	receive(t, ch)
	require.NoError(t, sub.Close())
	_, ch = subscribe(t, one, "topic", 1)
	msg := receive(t, ch)
	require.Equal(t, "b", msg.UUID)
	msg.Ack()
	_, ch = subscribe(t, two, "topic", 1)
	for _, id := range strings.Fields("a b") {
		msg := receive(t, ch)
		require.Equal(t, id, msg.UUID)
		msg.Ack()
	}
	for _, tr := range []*redisstream.Transport{one, two} {
		require.Eventually(t, func() bool {
			n, err := tr.Backlog(t.Context(), "topic")
			return err == nil && n == 0
		}, patience, time.Millisecond)
	}
	require.EqualValues(t, 2, b.client.XLen(t.Context(), b.prefix+"topic").Val())
}
