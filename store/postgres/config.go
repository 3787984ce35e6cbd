package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/internal/setting"
)

func init() {
	store.Register("postgres", openURL)
	store.Register("postgresql", openURL)
}

// Config is how a database is used. The zero value is useful.
type Config struct {
	// Pool is the most connections that the store's own calls use at once: two
	// commits, a grab, a heartbeat, and what else there is; who finds all in
	// use waits. One more listens, if the process works off messages.
	// Default: 8. In a URL: pool=8.
	Pool int

	// CallerPool is the most connections of [Store.DB], the handle for
	// transactions of the application. Default: 16. In a URL: caller_pool=16.
	CallerPool int

	// ConnectTimeout is how long opening a connection may take, and how long
	// Open waits for a server that is down. Default: 5 s. In a URL:
	// connect_timeout=5 (seconds, as everywhere with PostgreSQL) or 5s.
	ConnectTimeout time.Duration

	// StatementTimeout is how long a statement of the store may take, waiting
	// for the locks of others included. A server that does not answer for 5 s
	// more is taken for lost. Statements of the application are not limited.
	// Default: 30 s. In a URL: statement_timeout=30s.
	StatementTimeout time.Duration

	// IdleTimeout is how long the server keeps a transaction of the store in
	// which nothing happens, so that the locks of a process that is gone, or
	// cut off, are given back. It must be longer than a process may stand
	// still. Default: 10 s. In a URL: idle_timeout=10s.
	IdleTimeout time.Duration

	// WakeEvery is how often at most a process tells others that messages are
	// free. Default: 5 ms. In a URL: wake_every=5ms.
	WakeEvery time.Duration

	// Options are those common to all stores. Without Options.Now, the
	// server's clock counts.
	Options store.Options
}

const (
	defaultPool             = 8
	defaultCallerPool       = 16
	defaultConnectTimeout   = 5 * time.Second
	defaultStatementTimeout = 30 * time.Second
	defaultIdleTimeout      = 10 * time.Second
	defaultWakeEvery        = 5 * time.Millisecond
)

// complete fills in defaults and checks the rest.
func (c Config) complete() (Config, error) {
	defaultTo(&c.Pool, defaultPool)
	defaultTo(&c.CallerPool, defaultCallerPool)
	defaultTo(&c.ConnectTimeout, defaultConnectTimeout)
	defaultTo(&c.StatementTimeout, defaultStatementTimeout)
	defaultTo(&c.IdleTimeout, defaultIdleTimeout)
	defaultTo(&c.WakeEvery, defaultWakeEvery)
	switch {
	case c.Pool < 2:
		return c, fmt.Errorf("pool is %d; it must be at least 2", c.Pool)
	case c.CallerPool < 0:
		return c, fmt.Errorf("caller_pool is %d; it must not be negative", c.CallerPool)
	}
	for name, d := range map[string]time.Duration{
		"connect_timeout": c.ConnectTimeout, "statement_timeout": c.StatementTimeout,
		"idle_timeout": c.IdleTimeout, "wake_every": c.WakeEvery,
	} {
		if d < time.Millisecond {
			return c, fmt.Errorf("%s is %v; it must be at least 1ms", name, d)
		}
	}
	return c, nil
}

func defaultTo[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// driverSettings are the keys of a URL that lib/pq, or the server, knows. Any
// other would be sent to the server, which would say so with each connection.
var driverSettings = []string{
	"sslmode", "sslcert", "sslkey", "sslrootcert", "sslinline", "sslsni", "sslnegotiation",
	"ssl_min_protocol_version", "ssl_max_protocol_version", "passfile", "krbsrvname", "krbspn",
	"application_name", "fallback_application_name", "search_path", "options", "host", "port", "hostaddr",
	"target_session_attrs", "load_balance_hosts", "min_protocol_version", "max_protocol_version",
}

func openURL(ctx context.Context, u *url.URL, o store.Options) (store.Store, error) {
	c, rest, err := configOf(u)
	if err != nil {
		return nil, err
	}
	c.Options = o
	return Open(ctx, rest, c)
}

// configOf reads the settings of a URL, and returns it without those that are
// ours. Unknown, repeated and empty ones are errors.
func configOf(u *url.URL) (c Config, rest string, err error) {
	if u.Opaque != "" || u.Fragment != "" {
		return c, "", errors.New("the URL must be postgres://user:password@host:port/database")
	}
	others := url.Values{}
	err = setting.Each(u, func(key, value string) error {
		if slices.Contains(driverSettings, key) {
			others.Set(key, value)
			return nil
		}
		return c.set(key, value)
	})
	plain := *u
	plain.RawQuery = others.Encode()
	return c, plain.String(), err
}

func (c *Config) set(key, value string) (err error) {
	switch key {
	case "pool":
		c.Pool, err = strconv.Atoi(value)
	case "caller_pool":
		c.CallerPool, err = strconv.Atoi(value)
	case "connect_timeout":
		c.ConnectTimeout, err = seconds(value)
	case "statement_timeout":
		c.StatementTimeout, err = time.ParseDuration(value)
	case "idle_timeout":
		c.IdleTimeout, err = time.ParseDuration(value)
	case "wake_every":
		c.WakeEvery, err = time.ParseDuration(value)
	default:
		return fmt.Errorf("unknown setting %q of the URL; known are pool, caller_pool, connect_timeout, "+
			"statement_timeout, idle_timeout, wake_every and those of lib/pq", key)
	}
	return setting.Invalid(key, value, err)
}

// seconds reads a duration, or a number of seconds.
func seconds(value string) (time.Duration, error) {
	if n, err := strconv.Atoi(value); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	return time.ParseDuration(value)
}

// place says where the server is, without user and password.
func place(c pq.Config) string {
	host := c.Host
	if host == "" {
		host = c.Hostaddr.String()
	}
	if strings.HasPrefix(host, "/") || strings.Contains(host, ",") {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(c.Port)))
}

// quiet are the run-time settings of the store's own connections.
func (c Config) quiet() map[string]string {
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	return map[string]string{
		"statement_timeout":                   ms(c.StatementTimeout),
		"lock_timeout":                        ms(c.StatementTimeout),
		"idle_in_transaction_session_timeout": ms(c.IdleTimeout),
		"tcp_keepalives_idle":                 "10",
		"tcp_keepalives_interval":             "5",
		"tcp_keepalives_count":                "3",
		"tcp_user_timeout":                    ms(c.StatementTimeout),
		"default_transaction_isolation":       "read committed",
		"plan_cache_mode":                     "force_generic_plan",
		"jit":                                 "off",
		// Plans are made once, when a table may still be empty.
		"enable_seqscan":    "off",
		"enable_bitmapscan": "off",
		"enable_hashjoin":   "off",
		"enable_mergejoin":  "off",
	}
}
