package redisstream_test

import (
	"strconv"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	plain "github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/redisstream"
)

// BenchmarkSubscriber measures how fast messages are received and
// acknowledged: by subscriptions of plain watermill-redisstream, and by one of
// ours with as many in flight.
func BenchmarkSubscriber(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run("plain/"+strconv.Itoa(n), func(b *testing.B) {
			bench := newBench(b)
			fill(b, bench)
			out := make(chan *message.Message)
			for range n {
				sub, err := plain.NewSubscriber(plain.SubscriberConfig{
					Client: bench.newClient(), ConsumerGroup: "plain", DisableIndefiniteInitialBlock: true,
				}, watermill.NopLogger{})
				require.NoError(b, err)
				b.Cleanup(func() { require.NoError(b, sub.Close()) })
				ch, err := sub.Subscribe(b.Context(), bench.prefix+"topic")
				require.NoError(b, err)
				go func() {
					for msg := range ch {
						out <- msg
					}
				}()
			}
			drainTo(b, out)
		})
		b.Run("millrace/"+strconv.Itoa(n), func(b *testing.B) {
			bench := newBench(b)
			_, ch := subscribe(b, fill(b, bench), "topic", n)
			drainTo(b, ch)
		})
	}
}

// BenchmarkPublisher measures publishing, one by one and in batches.
func BenchmarkPublisher(b *testing.B) {
	b.Run("plain", func(b *testing.B) {
		bench := newBench(b)
		pub, err := plain.NewPublisher(plain.PublisherConfig{Client: bench.newClient()}, watermill.NopLogger{})
		require.NoError(b, err)
		for i := 0; b.Loop(); i++ {
			require.NoError(b, pub.Publish(bench.prefix+"topic", message.NewMessage(strconv.Itoa(i), payload)))
		}
		require.NoError(b, pub.Close())
	})
	b.Run("millrace", func(b *testing.B) {
		b.ReportAllocs()
		fill(b, newBench(b))
	})
}

var payload = make([]byte, 200)

// fill publishes b.N messages.
func fill(b *testing.B, on *bench) *redisstream.Transport {
	tr := on.open(redisstream.Config{})
	pub, err := tr.Publisher()
	require.NoError(b, err)
	batch := make([]store.Publication, b.N)
	for i := range batch {
		batch[i] = store.Publication{Topic: "topic", UUID: strconv.Itoa(i), Metadata: map[string]string{"key": "value"}, Payload: payload}
	}
	require.NoError(b, pub.(transports.BatchPublisher).PublishBatch(b.Context(), batch))
	return tr
}

func drainTo(b *testing.B, ch <-chan *message.Message) {
	b.ResetTimer()
	for range b.N {
		(<-ch).Ack()
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}
