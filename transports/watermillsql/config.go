package watermillsql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/millrace-go/millrace/transports"
)

func init() { transports.Register("watermill-sql", openURL) }

// Config is how the tables are used. The zero value is useful.
type Config struct {
	// Lease is how long after the end of a process the messages that it had
	// received go to others. What is in flight in a living process does not
	// change hands, unless that process is cut off for so long. Default: 30 s.
	// In a URL: lease=30s.
	Lease time.Duration

	// Poll is how often at least an idle subscription looks for messages.
	// Those of millrace wake it; those of plain watermill-sql publishers do
	// not. Default: 250 ms. In a URL: poll=250ms.
	Poll time.Duration

	// Drain is how long subscribers that are closed wait for what they have
	// in flight. Default: 30 s. In a URL: drain=30s.
	Drain time.Duration

	// Log takes what there is to say. Default: slog.Default().
	Log *slog.Logger
}

const (
	defaultLease = 30 * time.Second
	defaultPoll  = 250 * time.Millisecond
	defaultDrain = 30 * time.Second
)

// complete fills in defaults and checks the rest.
func (c Config) complete() (Config, error) {
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{{"lease", &c.Lease, defaultLease}, {"poll", &c.Poll, defaultPoll}, {"drain", &c.Drain, defaultDrain}} {
		if *d.value == 0 {
			*d.value = d.def
		}
		if *d.value < time.Millisecond {
			return c, fmt.Errorf("%s is %v; it must be 1ms or more", d.name, *d.value)
		}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c, nil
}

// openURL opens watermill-sql:?lease=30s.
func openURL(_ context.Context, u *url.URL) (transports.Transport, error) {
	if u.Host != "" || u.Path != "" || u.Opaque != "" || u.User != nil {
		return nil, errors.New("it works in the database of the Postgres store, so the URL must be watermill-sql: without a place")
	}
	var c Config
	for name, values := range u.Query() {
		d, err := time.ParseDuration(values[0])
		if err != nil {
			return nil, fmt.Errorf("option %s=%s: %w", name, values[0], err)
		}
		switch name {
		case "lease":
			c.Lease = d
		case "poll":
			c.Poll = d
		case "drain":
			c.Drain = d
		default:
			return nil, fmt.Errorf("unknown option %q; known are lease, poll and drain", name)
		}
	}
	return New(c)
}
