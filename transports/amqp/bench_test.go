package amqp_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/amqp"
)

// Messages of a batch, as the relay publishes them after a commit.
const batch = 300

var kinds = []amqp.Kind{amqp.Quorum, amqp.Classic}

func open(t testing.TB, c amqp.Config) *amqp.Transport {
	tr, err := amqp.Open(context.Background(), c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	return tr
}

func batchPublisher(t testing.TB, tr *amqp.Transport) transports.BatchPublisher {
	pub, err := tr.Publisher()
	require.NoError(t, err)
	return pub.(transports.BatchPublisher)
}

func publications(topic string, n int) []store.Publication {
	out := make([]store.Publication, n)
	for i := range out {
		out[i] = store.Publication{
			Topic: topic, UUID: watermill.NewUUID(), Payload: fmt.Appendf(nil, `{"number":%d,"text":"about a hundred bytes"}`, i),
			Metadata: map[string]string{"millrace_task": "bench/task", "millrace_run": watermill.NewUUID()},
		}
	}
	return out
}

// perSecond reports messages per second beside the time of each.
func perSecond(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func deleteQueue(t testing.TB, url, queue string) {
	_, err := connect(t, url).QueueDelete(queue, false, false, false)
	require.NoError(t, err)
}

// PublishBatch from one and from four goroutines, beside the client library
// alone with the same window.
func BenchmarkPublish(b *testing.B) {
	url := servers.AMQP(b)
	for _, kind := range kinds {
		for _, callers := range []int{1, 4} {
			b.Run(fmt.Sprintf("%s/millrace-%d", kind, callers), func(b *testing.B) {
				topic := "bench-" + watermill.NewShortUUID()
				pub := batchPublisher(b, open(b, amqp.Config{URL: url, Queue: kind}))
				msgs := publications(topic, batch)
				require.NoError(b, pub.PublishBatch(b.Context(), msgs[:1]))
				b.ResetTimer()
				var all sync.WaitGroup
				for c := range callers {
					all.Go(func() {
						for n := b.N/callers + min(1, c)*0; n > 0; n -= batch {
							if err := pub.PublishBatch(context.Background(), msgs[:min(n, batch)]); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				perSecond(b)
				b.StopTimer()
				deleteQueue(b, url, topic)
			})
		}
		b.Run(string(kind)+"/bare", func(b *testing.B) {
			queue := "bench-" + watermill.NewShortUUID()
			ch := declared(b, url, queue, kind)
			msgs := publications(queue, batch)
			b.ResetTimer()
			for n := b.N; n > 0; n -= batch {
				publishBare(b, ch, msgs[:min(n, batch)])
			}
			perSecond(b)
			b.StopTimer()
			deleteQueue(b, url, queue)
		})
	}
}

func declared(b *testing.B, url, queue string, kind amqp.Kind) *amqp091.Channel {
	ch := connect(b, url)
	_, err := ch.QueueDeclare(queue, true, false, false, false, amqp091.Table{"x-queue-type": string(kind)})
	require.NoError(b, err)
	require.NoError(b, ch.Confirm(false))
	return ch
}

func publishBare(b *testing.B, ch *amqp091.Channel, msgs []store.Publication) {
	confirms := make([]*amqp091.DeferredConfirmation, len(msgs))
	for i, m := range msgs {
		headers := amqp091.Table{}
		for k, v := range m.Metadata {
			headers[k] = v
		}
		var err error
		confirms[i], err = ch.PublishWithDeferredConfirm("", m.Topic, true, false, amqp091.Publishing{
			MessageId: m.UUID, Headers: headers, Body: m.Payload, DeliveryMode: amqp091.Persistent,
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range confirms {
		if !c.Wait() {
			b.Fatal("not confirmed")
		}
	}
}

// Receiving and acknowledging at once, beside the client library alone with
// the same prefetch, which acknowledges each message by itself.
func BenchmarkReceive(b *testing.B) {
	url := servers.AMQP(b)
	const prefetch = 256
	for _, kind := range kinds {
		b.Run(string(kind)+"/millrace", func(b *testing.B) {
			tr := open(b, amqp.Config{URL: url, Queue: kind})
			topic := "bench-" + watermill.NewShortUUID()
			fill(b, tr, topic)
			b.ResetTimer()
			sub, err := tr.Subscriber(prefetch)
			require.NoError(b, err)
			msgs, err := sub.Subscribe(context.Background(), topic)
			require.NoError(b, err)
			for range b.N {
				(<-msgs).Ack()
			}
			perSecond(b)
			b.StopTimer()
			require.NoError(b, sub.Close())
			deleteQueue(b, url, topic)
		})
		b.Run(string(kind)+"/bare", func(b *testing.B) {
			tr := open(b, amqp.Config{URL: url, Queue: kind})
			topic := "bench-" + watermill.NewShortUUID()
			fill(b, tr, topic)
			ch := connect(b, url)
			require.NoError(b, ch.Qos(prefetch, 0, false))
			b.ResetTimer()
			msgs, err := ch.Consume(topic, "", false, false, false, false, nil)
			require.NoError(b, err)
			for range b.N {
				if err := (<-msgs).Ack(false); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b)
			b.StopTimer()
			deleteQueue(b, url, topic)
		})
	}
}

func fill(b *testing.B, tr *amqp.Transport, topic string) {
	pub := batchPublisher(b, tr)
	for n := b.N; n > 0; n -= 1000 {
		require.NoError(b, pub.PublishBatch(b.Context(), publications(topic, min(n, 1000))))
	}
}

// One message there and back, on an idle server.
func BenchmarkHop(b *testing.B) {
	for _, kind := range kinds {
		b.Run(string(kind), func(b *testing.B) {
			tr := open(b, amqp.Config{URL: servers.AMQP(b), Queue: kind})
			topic := "bench-" + watermill.NewShortUUID()
			pub := batchPublisher(b, tr)
			sub, err := tr.Subscriber(16)
			require.NoError(b, err)
			msgs, err := sub.Subscribe(context.Background(), topic)
			require.NoError(b, err)
			for b.Loop() {
				require.NoError(b, pub.Publish(topic, message.NewMessage(watermill.NewUUID(), nil)))
				(<-msgs).Ack()
			}
		})
	}
}
