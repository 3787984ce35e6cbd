package amqp_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/amqp"
)

// with changes user, password and vhost of a server's URL.
func with(t testing.TB, server, user, password, vhost string) string {
	u, err := url.Parse(server)
	require.NoError(t, err)
	if user != "" {
		u.User = url.UserPassword(user, password)
	}
	u.Path, err = url.PathUnescape("/" + vhost)
	require.NoError(t, err)
	u.RawPath = "/" + vhost
	return u.String()
}

func receive(t testing.TB, msgs <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case msg, open := <-msgs:
		require.True(t, open, "the subscription has ended")
		return msg
	case <-time.After(30 * time.Second):
		require.FailNow(t, "no message came")
		return nil
	}
}

func subscribe(t testing.TB, tr transports.Transport, topic string, concurrency int) <-chan *message.Message {
	t.Helper()
	sub, err := tr.Subscriber(concurrency)
	require.NoError(t, err)
	msgs, err := sub.Subscribe(context.Background(), topic)
	require.NoError(t, err)
	return msgs
}

// Any string is a topic of its own, on queues of each kind.
//
// M7
func TestTopicsOfAnyName(t *testing.T) {
	unique := watermill.NewShortUUID()
	long := strings.Repeat("l", 240)
	names := []string{
		"", "amq." + unique, "amq.gen", long, long + unique, strings.Repeat("x", 300) + unique + "a", strings.Repeat("x", 300) + unique + "b",
		"line\nbreak" + unique, "linebreak" + unique, "nul\x00" + unique, "\xff" + unique, "/#*.%2F " + unique, "wasser 水 " + unique,
		strings.Repeat("水", 80) + unique, "'; DROP " + unique,
	}
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			server := servers.AMQP(t)
			tr := open(t, amqp.Config{URL: server, Queue: kind})
			pub := batchPublisher(t, tr)
			for _, name := range names {
				topic := name
				if topic != "" && topic != "amq.gen" {
					topic += "." + string(kind)
				}
				require.NoError(t, pub.Publish(topic, message.NewMessage(watermill.NewUUID(), []byte(topic))), "%q", topic)
				msg := receive(t, subscribe(t, tr, topic, 1))
				require.Equal(t, topic, string(msg.Payload))
				require.True(t, msg.Ack())
			}
		})
	}
}
