package amqp_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/amqp"
	"github.com/millrace-go/millrace/transports/transporttest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, // what is cut off never ends in the proxy
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"))
}

// connect opens a raw connection to a server.
func connect(t testing.TB, url string) *amqp091.Channel {
	conn, err := amqp091.Dial(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	require.NoError(t, err)
	return ch
}

func TestTransport(t *testing.T) {
	for _, kind := range []amqp.Kind{amqp.Quorum, amqp.Classic} {
		t.Run(string(kind), func(t *testing.T) { suite(t, kind) })
	}
}

func suite(t *testing.T, kind amqp.Kind) {
	url := servers.AMQP(t)
	raw := connect(t, url)
	transporttest.Run(t, transporttest.Factory{
		Open: func(t testing.TB) transports.Transport {
			tr, err := amqp.Open(t.Context(), amqp.Config{
				URL: url, Queue: kind,
				Drain: 200 * time.Millisecond, // one of Watermill's tests leaves a message without an answer
			})
			require.NoError(t, err)
			return tr
		},
		Features: tests.Features{Persistent: true},
		Malformed: func(t testing.TB, _ transports.Transport, topic string) {
			for _, body := range []string{"", "{", `{"metadata":[["?"]]}`, `{"metadata":1}`, `{"other":1}`} {
				require.NoError(t, raw.PublishWithContext(context.Background(), "", topic, true, false, amqp091.Publishing{
					ContentType: "application/vnd.millrace.wrapped+json", Body: []byte(body),
				}))
			}
		},
	})
}
