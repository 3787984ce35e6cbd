// Package transports is the seam to message brokers.
//
// A [Transport] makes Watermill publishers and subscribers for a broker that
// a URL names. Brokers are linked by import, as drivers of database/sql are:
//
//	import _ "github.com/millrace-go/millrace/transports/memory"
//
//	t, err := transports.Open(ctx, "memory:")
//
// Without a broker, messages travel through the store itself: that transport
// is package native, which the router builds since it needs the engine. Each
// transport passes the suite in transporttest. One may live in another module:
// examples/transport does.
package transports

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/internal/linked"
	"github.com/millrace-go/millrace/store"
)

// ErrUnavailable says that a broker can't be reached now.
var ErrUnavailable = errors.New("broker is unavailable")

// Transport is a connection to a broker. It is safe for concurrent use, and so
// is what it returns.
//
// A topic is a queue: its messages wait until they are acknowledged, and
// several subscriptions share them. Messages that are refused come again, and
// so does what a subscription that ended had received and not acknowledged; a
// message may come more than once, and out of order.
type Transport interface {
	// Publisher returns a publisher; its Close does not close the transport,
	// nor the publisher for others who use it.
	Publisher() (message.Publisher, error)

	// Subscriber returns a subscriber that keeps up to so many messages in
	// flight for each subscription. Its Close stops receiving at once and
	// closes the channels of its subscriptions; then it waits, for a bounded
	// time, for the acknowledgement of what is in flight, whose context lasts
	// as long. Ending a subscription's context does the same to that one,
	// without waiting. Closing twice is allowed; subscribing afterwards fails.
	Subscriber(concurrency int) (message.Subscriber, error)

	// Close closes all subscribers and releases the connection. Closing twice
	// is allowed.
	Close() error
}

// Attacher is a transport that makes use of the store that it works with. The
// router attaches it before anything else.
type Attacher interface {
	Transport

	// Attach gives the transport its store. inCommit reports whether commits
	// of that store now publish what their changes say (see
	// store.Publisher), because both live in the same database. An error says
	// that the transport does not go with the store.
	Attach(ctx context.Context, s store.Store) (inCommit bool, err error)
}

// Backlogger is a transport that can tell how many messages of a topic wait in
// the broker, those in flight included.
type Backlogger interface {
	Transport

	// Backlog returns their number; 0 for a topic that does not exist.
	Backlog(ctx context.Context, topic string) (int, error)
}

// BatchPublisher is a publisher that sends many messages faster than one by
// one.
type BatchPublisher interface {
	message.Publisher

	// PublishBatch publishes to several topics and returns once the broker
	// has confirmed all of them; its error says that some may not have
	// arrived. It gives up when ctx ends.
	PublishBatch(ctx context.Context, messages []store.Publication) error
}

// Opener opens the transport that a URL names.
type Opener func(ctx context.Context, u *url.URL) (Transport, error)

var brokers = linked.Set[Opener]{
	Kind: "transport", Example: "memory:",
	Imports: map[string]string{
		"memory":        "github.com/millrace-go/millrace/transports/memory",
		"amqp":          "github.com/millrace-go/millrace/transports/amqp",
		"amqps":         "github.com/millrace-go/millrace/transports/amqp",
		"redis":         "github.com/millrace-go/millrace/transports/redisstream",
		"rediss":        "github.com/millrace-go/millrace/transports/redisstream",
		"watermill-sql": "github.com/millrace-go/millrace/transports/watermillsql",
	},
}

// Register makes a transport known under a URL scheme; transports call it from
// their init. Registering a scheme twice panics.
func Register(scheme string, o Opener) { brokers.Add(scheme, o) }

// Schemes lists the URL schemes of the linked transports, sorted.
func Schemes() []string { return brokers.Schemes() }

// Open opens the transport that rawURL names. The caller closes it. The error
// wraps ErrUnavailable when the broker can't be reached.
func Open(ctx context.Context, rawURL string) (Transport, error) {
	open, u, err := brokers.Find(rawURL)
	if err != nil {
		return nil, err
	}
	t, err := open(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("open transport %s: %w", u.Redacted(), err)
	}
	return t, nil
}
