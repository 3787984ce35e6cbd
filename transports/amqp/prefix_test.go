package amqp_test

import (
	"net/url"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/transports/amqp"
)

// Two systems with prefixes of their own share a vhost, and have topics of the
// same name.
func TestPrefixKeepsSystemsApart(t *testing.T) {
	u, err := url.Parse(servers.AMQP(t))
	require.NoError(t, err)
	topic := "t-" + watermill.NewShortUUID()
	for _, prefix := range []string{"one.", "two."} {
		u.RawQuery = "prefix=" + prefix
		c, err := amqp.ParseURL(u)
		require.NoError(t, err)
		tr := open(t, c)
		pub, err := tr.Publisher()
		require.NoError(t, err)
		require.NoError(t, pub.Publish(topic, message.NewMessage("m", []byte(prefix))))
		n, err := tr.Backlog(t.Context(), topic)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		msg := receive(t, subscribe(t, tr, topic, 1))
		require.Equal(t, prefix, string(msg.Payload))
		msg.Ack()
		require.NoError(t, tr.Close())
		ch := connect(t, servers.AMQP(t))
		for _, queue := range []string{prefix + topic, prefix + topic + ".parked"} {
			_, err = ch.QueueDelete(queue, false, false, false)
			require.NoError(t, err)
		}
	}
}
