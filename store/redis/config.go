package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/internal/setting"
)

func init() {
	store.Register("redis", openURL)
	store.Register("rediss", openURL)
}

// Config is how a store on a server is opened. The zero value is useful.
type Config struct {
	// Username and Password are what the server asks for, if it does.
	Username, Password string

	// DB is the number of the server's database. A cluster has only 0.
	DB int

	// TLS encrypts the connections, if set. In a URL: rediss:// instead of
	// redis://.
	TLS *tls.Config

	// Prefix begins the names of all keys, as the hash tag {prefix:0}. Stores of
	// different prefixes know nothing of each other. Default: millrace. In a URL:
	// prefix=millrace.
	Prefix string

	// Cluster says that the address is that of any node of a Redis Cluster; the
	// others are asked from it. In a URL: cluster=true.
	Cluster bool

	// Timeout is how long a call waits for the server's answer, before it fails
	// with store.ErrUnavailable; and how long a commit whose answer was lost
	// tries to find out what came of it, before it fails with store.ErrUnknown.
	// Connecting takes 3 s at most. Default: 10 s. In a URL: timeout=10s.
	Timeout time.Duration

	// Connections is how many connections are kept at most. Default: 16. In a
	// URL: connections=16.
	Connections int

	// Log is told how durable the server is. Default: slog.Default().
	Log *slog.Logger

	// Options are those common to all stores. NoMigrate refuses a place in
	// which there is no store yet. Without Now, the server's clock counts.
	Options store.Options
}

const (
	defaultPrefix      = "millrace"
	defaultTimeout     = 10 * time.Second
	defaultConnections = 16
	dialTimeout        = 3 * time.Second
	defaultPort        = "6379"
)

// complete fills in defaults and checks the rest.
func (c Config) complete() (Config, error) {
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Connections == 0 {
		c.Connections = defaultConnections
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	switch {
	case strings.ContainsAny(c.Prefix, "{}"):
		return c, fmt.Errorf("prefix is %q; it must not contain braces", c.Prefix)
	case c.Timeout < 0:
		return c, fmt.Errorf("timeout is %v; it must not be negative", c.Timeout)
	case c.Connections < 2:
		return c, fmt.Errorf("connections is %d; it must be at least 2", c.Connections)
	case c.DB < 0:
		return c, fmt.Errorf("the number of the database is %d; it must not be negative", c.DB)
	case c.Cluster && c.DB != 0:
		return c, fmt.Errorf("the number of the database is %d; a cluster has only 0", c.DB)
	}
	return c, nil
}

func openURL(ctx context.Context, u *url.URL, o store.Options) (store.Store, error) {
	c, err := configOf(u)
	if err != nil {
		return nil, err
	}
	c.Options = o
	return Open(ctx, u.Host, c)
}

// configOf reads redis://user:password@host:port/db and the settings behind
// it. Unknown, repeated and empty ones are errors.
func configOf(u *url.URL) (Config, error) {
	var c Config
	if u.Opaque != "" || u.Fragment != "" {
		return c, errors.New("the URL must be redis://host:port/db")
	}
	if u.User != nil {
		c.Username = u.User.Username()
		c.Password, _ = u.User.Password()
	}
	if u.Scheme == "rediss" {
		c.TLS = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		n, err := strconv.Atoi(db)
		if err != nil {
			return c, fmt.Errorf("the path of the URL is %q; it must be the number of a database", u.Path)
		}
		c.DB = n
	}
	return c, setting.Each(u, c.set)
}

func (c *Config) set(key, value string) (err error) {
	switch key {
	case "prefix":
		c.Prefix = value
	case "cluster":
		c.Cluster, err = strconv.ParseBool(value)
	case "timeout":
		c.Timeout, err = time.ParseDuration(value)
	case "connections":
		c.Connections, err = strconv.Atoi(value)
	default:
		return fmt.Errorf("unknown setting %q of the URL; known are prefix, cluster, timeout and connections", key)
	}
	return setting.Invalid(key, value, err)
}

// withPort completes an address.
func withPort(address string) string {
	if address == "" {
		address = "localhost"
	}
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), defaultPort)
}
