// Package memory is a broker inside the process: Watermill's GoChannel. It
// loses its messages with the process; with a durable store behind it nothing
// is lost all the same, since what is not finished is published again.
package memory

import (
	"context"
	"fmt"
	"net/url"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/millrace-go/millrace/transports"
)

func init() {
	transports.Register("memory", func(_ context.Context, u *url.URL) (transports.Transport, error) {
		if u.RawQuery != "" || u.Host != "" || u.Path != "" || u.Opaque != "" {
			return nil, fmt.Errorf("the memory transport takes no options, only memory:")
		}
		return New(), nil
	})
}

// Transport is a broker of its own.
type Transport struct{ ch *gochannel.GoChannel }

// New returns an empty broker.
func New() *Transport {
	return &Transport{gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 64}, watermill.NopLogger{})}
}

// Publisher implements transports.Transport.
func (t *Transport) Publisher() (message.Publisher, error) { return shared{t.ch}, nil }

// Subscriber implements transports.Transport. GoChannel bounds nothing: all
// that is published is in flight at once.
func (t *Transport) Subscriber(int) (message.Subscriber, error) { return t.ch, nil }

// Close implements transports.Transport.
func (t *Transport) Close() error { return t.ch.Close() }

// shared is a publisher that outlives the handlers that close it.
type shared struct{ message.Publisher }

func (shared) Close() error { return nil }
