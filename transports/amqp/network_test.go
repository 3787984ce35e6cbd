package amqp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/amqp"
)

// network is a bad one, between a test and the shared server.
type network struct {
	t     testing.TB
	proxy *toxiproxy.Proxy
	url   string
}

func newNetwork(t testing.TB, server string) *network {
	u, err := url.Parse(server)
	require.NoError(t, err)
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(api, "amqp", "127.0.0.1:0", u.Host)
	require.NoError(t, proxy.Start())
	t.Cleanup(proxy.Stop)
	u.Host = proxy.Listen
	return &network{t: t, proxy: proxy, url: u.String()}
}

// poison adds a toxic, which heal removes.
func (n *network) poison(name, kind, stream, attributes string) {
	n.t.Helper()
	_, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name": %q, "type": %q, "stream": %q, "attributes": {%s}}`, name, kind, stream, attributes)))
	require.NoError(n.t, err)
}

func (n *network) heal(name string) {
	n.t.Helper()
	require.NoError(n.t, n.proxy.Toxics.RemoveToxic(context.Background(), name))
}

// cut closes all connections, and lets new ones in again.
func (n *network) cut() {
	n.t.Helper()
	n.proxy.Stop()
	require.NoError(n.t, n.proxy.Start())
}

// Connections that are cut again and again lose nothing that was confirmed,
// and leave no batch hanging.
//
// R5
func TestConnectionsCut(t *testing.T) {
	n := newNetwork(t, servers.AMQP(t))
	log := &journal{}
	tr := open(t, amqp.Config{URL: n.url, Log: slog.New(log), Channels: 2})
	l := startLoad(t, tr, "cut-"+watermill.NewShortUUID())
	for i := range 5 {
		l.moves(200)
		n.cut()
		require.Eventually(t, func() bool { return log.said("connected to the AMQP server again") > i }, patience, time.Millisecond)
	}
	l.moves(200)
	l.settle()
	require.Equal(t, log.said("connected to the AMQP server again"), log.said("lost"), log.lines)
}

// A network that swallows everything, in both directions or in one, is noticed
// by the heartbeat; until then nobody waits longer than its context lasts.
//
// R5
func TestNetworkSwallowsEverything(t *testing.T) {
	for _, streams := range [][]string{{"upstream"}, {"downstream"}, {"upstream", "downstream"}} {
		t.Run(strings.Join(streams, "+"), func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, servers.AMQP(t))
			log := &journal{}
			tr := open(t, amqp.Config{URL: n.url, Heartbeat: time.Second, Patience: time.Second, Log: slog.New(log)})
			l := startLoad(t, tr, "swallowed-"+watermill.NewShortUUID())
			l.moves(200)
			for _, stream := range streams {
				n.poison(stream, "timeout", stream, `"timeout": 0`)
			}
			within, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			begun := time.Now()
			require.Error(t, batchPublisher(t, tr).PublishBatch(within, publications(l.topic, 10)))
			require.Less(t, time.Since(begun), 10*time.Second)
			require.Eventually(t, func() bool { return log.said("lost") > 0 }, patience, 10*time.Millisecond)
			for _, stream := range streams {
				n.heal(stream)
			}
			n.cut() // what is stuck in the proxy does not come out again
			l.moves(200)
			l.settle()
		})
	}
}

// Over a slow network, work is slow.
func TestSlowNetwork(t *testing.T) {
	n := newNetwork(t, servers.AMQP(t))
	tr := open(t, amqp.Config{URL: n.url})
	n.poison("slow", "latency", "downstream", `"latency": 50, "jitter": 40`)
	n.poison("narrow", "bandwidth", "upstream", `"rate": 200`)
	l := startLoad(t, tr, "slow-"+watermill.NewShortUUID())
	l.moves(500)
	l.settle()
}

// Closing over a network that swallows everything ends.
//
// L1
func TestCloseWithoutNetwork(t *testing.T) {
	n := newNetwork(t, servers.AMQP(t))
	tr, err := amqp.Open(t.Context(), amqp.Config{URL: n.url, Drain: 100 * time.Millisecond, Log: slog.New(&journal{})})
	require.NoError(t, err)
	topic := "closing-" + watermill.NewShortUUID()
	pub := batchPublisher(t, tr)
	msgs := subscribe(t, tr, topic, 1)
	require.NoError(t, pub.Publish(topic, message.NewMessage("1", nil)))
	receive(t, msgs)
	n.poison("up", "timeout", "upstream", `"timeout": 0`)
	n.poison("down", "timeout", "downstream", `"timeout": 0`)
	published := make(chan error, 1)
	go func() { published <- pub.Publish(topic, message.NewMessage("2", nil)) }()
	begun := time.Now()
	require.NoError(t, tr.Close())
	require.Less(t, time.Since(begun), 15*time.Second)
	require.Error(t, <-published)
}

// A server that takes no messages, since its memory or disk is full: that is
// said once, publishing waits as long as it may, receiving goes on, and
// closing ends.
func TestServerTakesNoMessages(t *testing.T) {
	t.Parallel()
	server := servers.StartAMQP(t, "vm_memory_high_watermark.absolute = 1")
	log := &journal{}
	tr, err := amqp.Open(t.Context(), amqp.Config{URL: server.URL(), Log: slog.New(log)})
	require.NoError(t, err)
	pub := batchPublisher(t, tr)
	subscribe(t, tr, "full", 1)
	try := func() {
		within, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, pub.PublishBatch(within, publications("full", 5000)), context.DeadlineExceeded)
	}
	require.Eventually(t, func() bool {
		try()
		return log.said("takes no messages") > 0
	}, patience, time.Millisecond)
	try()
	require.Equal(t, 1, log.said("takes no messages"), log.lines)
	n, err := tr.Backlog(t.Context(), "full")
	require.NoError(t, err)
	require.Zero(t, n)
	waiting := make(chan error, 1)
	go func() { waiting <- pub.Publish("full", message.NewMessage("id", nil)) }()
	require.NoError(t, tr.Close())
	require.Error(t, <-waiting)
}

// While there is no connection a batch fails at once, since the relay has
// another way for its messages; a plain publisher waits.
func TestBatchWithoutConnection(t *testing.T) {
	n := newNetwork(t, servers.AMQP(t))
	tr := open(t, amqp.Config{URL: n.url})
	pub := batchPublisher(t, tr)
	topic := "away-" + watermill.NewShortUUID()
	require.NoError(t, pub.PublishBatch(t.Context(), publications(topic, 1)))
	n.proxy.Stop()
	require.Eventually(t, func() bool {
		begun := time.Now()
		err := pub.PublishBatch(t.Context(), publications(topic, 1))
		return errors.Is(err, transports.ErrUnavailable) && time.Since(begun) < time.Second
	}, patience, time.Millisecond)
	require.NoError(t, n.proxy.Start())
	plain, err := tr.Publisher()
	require.NoError(t, err)
	require.NoError(t, plain.Publish(topic, message.NewMessage(watermill.NewUUID(), nil)))
	require.NoError(t, pub.PublishBatch(t.Context(), publications(topic, 1)))
}
