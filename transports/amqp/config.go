package amqp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	watermillamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/rabbitmq/amqp091-go"
)

// Kind is the make of queues.
type Kind string

// The kinds of queues.
const (
	Quorum  Kind = "quorum"  // replicated in a cluster
	Classic Kind = "classic" // on one node, durable
)

// Config says how to connect, and how to use the server.
type Config struct {
	// URL is where the server is: amqp://user:password@host:port/vhost, or
	// amqps. Defaults: guest:guest, port 5672 (amqps 5671), vhost "/".
	URL string

	// Queue is the kind of the queues that are made. One that is there
	// already is used as it is. Default Quorum. In a URL: queue=classic.
	Queue Kind

	// Prefix begins the names of all queues, so that systems which share a vhost
	// keep apart. Default: none. In a URL: prefix=shop.
	Prefix string

	// Heartbeat is how often the two sides show that they live; a connection
	// that stays silent three times as long is dead. Default 5 s, at least
	// 1 s. In a URL: heartbeat=5s.
	Heartbeat time.Duration

	// Drain is how long a subscriber that is closed waits for what it has in
	// flight. Default 30 s. In a URL: drain=30s.
	Drain time.Duration

	// Patience is how long publishing and subscribing wait for a connection
	// that is lost, before they fail with ErrDisconnected. Default 5 s. In a
	// URL: patience=5s.
	Patience time.Duration

	// Window is how many messages of one batch may be without their confirm.
	// Default 2000. In a URL: window=2000.
	Window int

	// Channels is how many batches are published at once; others wait.
	// Default 8. In a URL: channels=8.
	Channels int

	// TLS is for amqps. Default: the system's authorities. In a URL: ca=file,
	// and cert=file with key=file for a client's certificate, all in PEM.
	TLS *tls.Config

	// Log takes what there is to say. Default slog.Default().
	Log *slog.Logger
}

// ParseURL reads a URL with options, which stand with the fields of [Config].
// An unknown option is an error.
func ParseURL(u *url.URL) (Config, error) {
	bare := *u
	bare.RawQuery, bare.Fragment = "", ""
	c := Config{URL: bare.String()}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, err
	}
	var files tlsFiles
	for _, key := range slices.Sorted(maps.Keys(q)) {
		value := q.Get(key)
		switch key {
		case "queue":
			c.Queue = Kind(value)
		case "prefix":
			c.Prefix = value
		case "heartbeat":
			c.Heartbeat, err = time.ParseDuration(value)
		case "drain":
			c.Drain, err = time.ParseDuration(value)
		case "patience":
			c.Patience, err = time.ParseDuration(value)
		case "window":
			_, err = fmt.Sscanf(value, "%d", &c.Window)
		case "channels":
			_, err = fmt.Sscanf(value, "%d", &c.Channels)
		case "ca":
			files.ca = value
		case "cert":
			files.cert = value
		case "key":
			files.key = value
		default:
			return c, fmt.Errorf("unknown option %q: the amqp transport knows queue, prefix, heartbeat, drain, patience, window, channels, ca, cert, key", key)
		}
		if err != nil {
			return c, fmt.Errorf("option %s=%s: %w", key, value, err)
		}
	}
	c.TLS, err = files.config()
	return c, err
}

type tlsFiles struct{ ca, cert, key string }

func (f tlsFiles) config() (*tls.Config, error) {
	if f == (tlsFiles{}) {
		return nil, nil
	}
	c := &tls.Config{}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("option ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("option ca: no certificate in %s", f.ca)
		}
	}
	if f.cert != "" || f.key != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("options cert and key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// prepare fills in the defaults and checks the rest.
func (c Config) prepare() (Config, dialer, error) {
	defaults(&c.Queue, Quorum)
	defaults(&c.Heartbeat, 5*time.Second)
	defaults(&c.Drain, 30*time.Second)
	defaults(&c.Patience, 5*time.Second)
	defaults(&c.Window, 2000)
	defaults(&c.Channels, 8)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	switch {
	case c.Queue != Quorum && c.Queue != Classic:
		return c, dialer{}, fmt.Errorf("queue=%s: it can be quorum or classic", c.Queue)
	case c.Heartbeat < time.Second:
		return c, dialer{}, fmt.Errorf("heartbeat=%s: it must be at least 1s", c.Heartbeat)
	case c.Drain < 0 || c.Patience < 0:
		return c, dialer{}, errors.New("drain and patience can't be negative")
	case c.Window < 1 || c.Channels < 1:
		return c, dialer{}, errors.New("window and channels must be at least 1")
	}
	d, err := c.dialer()
	return c, d, err
}

func defaults[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) dialer() (dialer, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return dialer{}, errors.New("the URL can't be parsed") // the reason could show the password
	}
	port := map[string]string{"amqp": "5672", "amqps": "5671"}[u.Scheme]
	switch {
	case port == "":
		return dialer{}, fmt.Errorf("scheme %q: it can be amqp or amqps", u.Scheme)
	case u.Hostname() == "":
		return dialer{}, errors.New("the URL names no host")
	case u.RawQuery != "":
		return dialer{}, errors.New("options in the URL are for ParseURL")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	vhost := strings.TrimPrefix(u.Path, "/")
	if vhost == "" {
		vhost = "/"
	}
	d := dialer{
		scheme: u.Scheme, addr: net.JoinHostPort(u.Hostname(), port), host: u.Hostname(),
		vhost: vhost, user: "guest", password: "guest", heartbeat: c.Heartbeat, tls: c.TLS,
	}
	if u.User != nil {
		d.user = u.User.Username()
		d.password, _ = u.User.Password()
	}
	return d, nil
}

// Watermill returns the configuration of Watermill's AMQP package under which
// its publishers and subscribers share topics with this transport, for
// services that use those. Long or odd names of topics are spelled for the
// vhost of c.
func (c Config) Watermill() (watermillamqp.Config, error) {
	c, d, err := c.prepare()
	if err != nil {
		return watermillamqp.Config{}, err
	}
	w := c.topology()
	w.Connection.AmqpURI = c.URL
	name := naming{vhost: d.vhost, prefix: c.Prefix}
	w.Queue.GenerateName = name.queue
	w.Publish.GenerateRoutingKey = name.queue
	w.Publish.ConfirmDelivery = true
	return w, nil
}

// topology is what Watermill's package is to know for declaring queues.
func (c Config) topology() watermillamqp.Config {
	w := watermillamqp.NewDurableQueueConfig("")
	w.Marshaler = Marshaler{}
	w.Queue.Arguments = amqp091.Table{"x-queue-type": string(c.Queue)}
	if c.Queue == Quorum {
		// A server of version 4 would throw a message away that was given
		// back 20 times.
		w.Queue.Arguments["x-delivery-limit"] = int64(math.MaxInt32)
	}
	return w
}
