// Package transporttest is the suite that every transport passes: Watermill's
// universal one, and what that leaves out. It is for tests only and imports no
// transport.
//
// A transport's test is one call:
//
//	func TestTransport(t *testing.T) { transporttest.Run(t, transporttest.Factory{Open: open}) }
//
// Nothing here waits for time to pass; what must not happen is given the time
// of some round trips through the transport to happen in.
package transporttest

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/millrace-go/millrace/transports"
)

// Factory makes the transports that the suite tests.
type Factory struct {
	// Open connects to a broker. The suite closes the connection; what lies
	// below it, Open removes with t.Cleanup. Topics of the suite are unique,
	// so that all connections may be to one broker.
	Open func(t testing.TB) transports.Transport

	// Features tell Watermill's suite what the transport promises.
	Features tests.Features

	// Malformed publishes to a topic, past the transport, what its marshaler
	// can't make sense of. Nil where there is nothing of that kind.
	Malformed func(t testing.TB, tr transports.Transport, topic string)

	// Settled fails t if the transport has lost or kept something, once a
	// case has closed it. Nil: nothing is looked at.
	Settled func(t testing.TB, tr transports.Transport)
}

// Run runs the suite: one subtest for each thing that must hold, each on a
// connection of its own.
func Run(t *testing.T, f Factory) {
	t.Run("Watermill", func(t *testing.T) { universal(t, f) })
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			x := &fixture{T: t, factory: f, tr: f.Open(t)}
			defer x.end()
			c.run(x)
		})
	}
}

// universal runs Watermill's own suite.
func universal(t *testing.T, f Factory) {
	tr := f.Open(t)
	t.Cleanup(func() { closeTransport(t, f, tr) }) // its tests run in parallel, and end after this function
	tests.TestPubSub(t, f.Features, func(t *testing.T) (message.Publisher, message.Subscriber) {
		return publisher(t, tr), subscriber(t, tr, 100)
	}, nil)
}

// check is one thing that must hold.
type check struct {
	name string
	run  func(*fixture)
}

var cases = []check{
	{"Opaque", opaque},
	{"ForeignMetadata", foreignMetadata},
	{"Malformed", malformed},
	{"NackRedelivers", nackRedelivers},
	{"NackKeepsNobodyWaiting", nackKeepsNobodyWaiting},
	{"NackDoesNotSpin", nackDoesNotSpin},
	{"ManyInFlight", manyInFlight},
	{"SubscriptionsShare", subscriptionsShare},
	{"QueueBeforeSubscribers", queueBeforeSubscribers},
	{"BatchArrives", batchArrives},
	{"BatchEnds", batchEnds},
	{"Backlog", backlog},
	{"UnsubscribedIsGivenBack", unsubscribedIsGivenBack},
	{"Drain", drain},
	{"DrainOfSubscription", drainOfSubscription},
	{"CloseTwice", closeTwice},
	{"SharedPublisher", sharedPublisher},
	{"SharedPublisherInRouter", sharedPublisherInRouter},
}
