package redisstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace-go/millrace/transports"
)

func init() {
	transports.Register("redis", openURL)
	transports.Register("rediss", openURL)
}

// Config is how streams are used. The zero value is useful.
type Config struct {
	// Group is the consumer group that shares the messages. Default:
	// "millrace". In a URL: group=name.
	Group string

	// Prefix is put before a topic to make the name of its stream. Default:
	// none, as watermill-redisstream does it. In a URL: prefix=app:
	Prefix string

	// ClaimAfter is how long after the end of a process the messages that it
	// had received go to others. What is in flight in a living process does
	// not change hands, unless that process is cut off for so long. Default:
	// 60 s. In a URL: claim=60s.
	ClaimAfter time.Duration

	// Keep leaves acknowledged entries in the stream, for other groups that
	// read it. Who trims the stream then is left to them. In a URL: keep=true.
	Keep bool

	// Drain is how long subscribers that are closed wait for what they have
	// in flight. Default: 30 s. In a URL: drain=30s.
	Drain time.Duration

	// Log takes what there is to say. Default: slog.Default().
	Log *slog.Logger
}

const (
	defaultGroup      = "millrace"
	defaultClaimAfter = 60 * time.Second
	defaultDrain      = 30 * time.Second
)

// complete fills in defaults and checks the rest.
func (c Config) complete() (Config, error) {
	if c.Group == "" {
		c.Group = defaultGroup
	}
	if c.ClaimAfter == 0 {
		c.ClaimAfter = defaultClaimAfter
	}
	if c.Drain == 0 {
		c.Drain = defaultDrain
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	switch {
	case c.ClaimAfter < time.Millisecond:
		return c, fmt.Errorf("claim is %v; it must be 1ms or more", c.ClaimAfter)
	case c.Drain < 0:
		return c, fmt.Errorf("drain is %v; it must not be negative", c.Drain)
	}
	return c, nil
}

func openURL(ctx context.Context, u *url.URL) (transports.Transport, error) {
	return Open(ctx, u.String(), Config{})
}

// parse splits a URL into the server's options, which are those of
// redis.ParseURL, and ours, which win over c.
func parse(rawURL string, c Config) (*redis.Options, Config, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, c, errors.New("the URL must be redis://user:password@host:port/db")
	}
	q := u.Query()
	for name, set := range map[string]func(string) error{
		"group":  func(s string) error { c.Group = s; return nil },
		"prefix": func(s string) error { c.Prefix = s; return nil },
		"claim":  func(s string) (err error) { c.ClaimAfter, err = time.ParseDuration(s); return err },
		"drain":  func(s string) (err error) { c.Drain, err = time.ParseDuration(s); return err },
		"keep":   func(s string) (err error) { c.Keep, err = strconv.ParseBool(s); return err },
	} {
		if !q.Has(name) {
			continue
		}
		if err := set(q.Get(name)); err != nil {
			return nil, c, fmt.Errorf("option %s=%s: %w", name, q.Get(name), err)
		}
		q.Del(name)
	}
	u.RawQuery = q.Encode()
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, c, fmt.Errorf("%w; the URL must be redis://user:password@host:port/db", err)
	}
	c, err = c.complete()
	return o, c, err
}
