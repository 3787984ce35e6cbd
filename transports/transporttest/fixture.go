package transporttest

import (
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/transports"
)

// patience is how long something that must happen may take.
const patience = 20 * time.Second

// fixture is what one case works with. Its methods fail the test on errors.
type fixture struct {
	*testing.T
	factory Factory
	tr      transports.Transport
}

func (x *fixture) end() { closeTransport(x, x.factory, x.tr) }

func closeTransport(t testing.TB, f Factory, tr transports.Transport) {
	require.NoError(t, tr.Close())
	if f.Settled != nil && !t.Failed() {
		f.Settled(t, tr)
	}
}

func publisher(t testing.TB, tr transports.Transport) message.Publisher {
	t.Helper()
	pub, err := tr.Publisher()
	require.NoError(t, err)
	return pub
}

func subscriber(t testing.TB, tr transports.Transport, concurrency int) message.Subscriber {
	t.Helper()
	sub, err := tr.Subscriber(concurrency)
	require.NoError(t, err)
	return sub
}

// topic returns a name that no other case uses, nor another run of this one.
func (x *fixture) topic() string { return "t-" + watermill.NewShortUUID() }

// subscribe opens a subscription of its own subscriber.
func (x *fixture) subscribe(topic string, concurrency int) (message.Subscriber, <-chan *message.Message) {
	x.Helper()
	sub := subscriber(x, x.tr, concurrency)
	return sub, x.listen(sub, topic)
}

// listen opens a subscription.
func (x *fixture) listen(sub message.Subscriber, topic string) <-chan *message.Message {
	x.Helper()
	if init, ok := sub.(message.SubscribeInitializer); ok {
		require.NoError(x, init.SubscribeInitialize(topic))
	}
	ch, err := sub.Subscribe(x.Context(), topic)
	require.NoError(x, err)
	return ch
}

// publish publishes n messages with the payloads "0", "1" and so on.
func (x *fixture) publish(topic string, n int) map[string]bool {
	x.Helper()
	ids := map[string]bool{}
	msgs := make([]*message.Message, n)
	for i := range msgs {
		msgs[i] = message.NewMessage(watermill.NewUUID(), fmt.Append(nil, i))
		ids[msgs[i].UUID] = true
	}
	require.NoError(x, publisher(x, x.tr).Publish(topic, msgs...))
	return ids
}

// receive waits for the next message.
func (x *fixture) receive(ch <-chan *message.Message) *message.Message {
	x.Helper()
	select {
	case msg, open := <-ch:
		require.True(x, open, "the subscription has ended")
		return msg
	case <-time.After(patience):
		require.FailNow(x, "no message came")
		return nil
	}
}

// acknowledge receives the messages of ids and acknowledges each.
func (x *fixture) acknowledge(ch <-chan *message.Message, ids map[string]bool) {
	x.Helper()
	open := len(ids)
	seen := map[string]bool{}
	for open > 0 {
		msg := x.receive(ch)
		require.True(x, ids[msg.UUID], "message %s was not to be expected", msg.UUID)
		if !seen[msg.UUID] {
			seen[msg.UUID] = true
			open--
		}
		require.True(x, msg.Ack())
	}
}

// nothing fails the test if a message comes within some round trips.
func (x *fixture) nothing(ch <-chan *message.Message) {
	x.Helper()
	topic := x.topic()
	sub, other := x.subscribe(topic, 1)
	defer func() { require.NoError(x, sub.Close()) }()
	for range 20 {
		ids := x.publish(topic, 1)
		x.acknowledge(other, ids)
		select {
		case msg, open := <-ch:
			if open {
				require.FailNow(x, "a message came that must not", "%s", msg.UUID)
			}
			return
		default:
		}
	}
}

// ended waits until a subscription has closed its channel. What comes
// meanwhile is returned.
func (x *fixture) ended(ch <-chan *message.Message) (late []*message.Message) {
	x.Helper()
	for {
		select {
		case msg, open := <-ch:
			if !open {
				return late
			}
			late = append(late, msg)
		case <-time.After(patience):
			require.FailNow(x, "the subscription did not end")
		}
	}
}

// wait waits for a signal.
func (x *fixture) wait(done <-chan struct{}, what string) {
	x.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		require.FailNow(x, "waited in vain for "+what)
	}
}

// background runs f and returns a channel that is closed when it has ended.
func background(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}
