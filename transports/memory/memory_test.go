package memory_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/memory"
	"github.com/millrace-go/millrace/transports/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTransport(t *testing.T) {
	transporttest.Run(t, transporttest.Factory{
		Open: func(testing.TB) transports.Transport {
			tr := memory.New()
			tr.Drain = 100 * time.Millisecond // one of Watermill's tests leaves a message without an answer
			return tr
		},
		Features: tests.Features{Persistent: true},
	})
}

func TestURL(t *testing.T) {
	for _, bad := range []string{"memory://host", "memory:///path", "memory:?a=b"} {
		_, err := transports.Open(t.Context(), bad)
		require.ErrorContains(t, err, "memory transport takes no options", bad)
	}
	_, err := transports.Open(t.Context(), "mqtt://host")
	require.ErrorContains(t, err, `unknown scheme "mqtt"`)
	_, err = url.Parse("memory:")
	require.NoError(t, err)
}

func open(t *testing.T, rawURL string) transports.Transport {
	tr, err := transports.Open(t.Context(), rawURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	return tr
}

func publish(t *testing.T, tr transports.Transport) {
	pub, err := tr.Publisher()
	require.NoError(t, err)
	require.NoError(t, pub.Publish("topic", message.NewMessage("id", nil)))
}

func subscribe(t *testing.T, tr transports.Transport) <-chan *message.Message {
	sub, err := tr.Subscriber(1)
	require.NoError(t, err)
	ch, err := sub.Subscribe(t.Context(), "topic")
	require.NoError(t, err)
	return ch
}

func TestNamedBrokersAreShared(t *testing.T) {
	a, b, other := open(t, "memory:shared"), open(t, "memory:shared"), open(t, "memory:other")
	publish(t, a)
	require.NoError(t, a.Close())
	alone := subscribe(t, other)
	(<-subscribe(t, b)).Ack()
	select {
	case <-alone:
		require.Fail(t, "a message went to another broker")
	default:
	}
	require.NoError(t, b.Close())
	publish(t, open(t, "memory:shared")) // a new one by now
}

func TestClosedTransportSaysSo(t *testing.T) {
	tr := memory.New()
	pub, err := tr.Publisher()
	require.NoError(t, err)
	require.NoError(t, tr.Close())
	require.ErrorContains(t, pub.Publish("topic", message.NewMessage("id", nil)), "closed")
	_, err = tr.Subscriber(1)
	require.ErrorContains(t, err, "closed")
}

func TestWipedBrokerHasLostWhatWaited(t *testing.T) {
	tr := memory.New()
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	publish(t, tr)
	tr.Wipe()
	publish(t, tr)
	ch := subscribe(t, tr)
	(<-ch).Ack()
	select {
	case <-ch:
		require.Fail(t, "a message survived")
	default:
	}
}
