package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	client "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/internal/known"
)

// Store keeps rows on a server. It implements [store.Store], [store.Migrator],
// [store.Waker] and [store.Publisher]. All methods are safe for concurrent
// use, also by several Stores and processes on one server.
type Store struct {
	config  Config
	address string
	root    string // of all keys
	name    string // random; made with the store
	client  client.UniversalClient
	facts   facts
	alarm   alarm
	cache   cache
	doubt   known.Doubt
	pace    known.Pace

	order   sync.Mutex // held while a commit is decided
	lane    *lane      // guarded by order, as are the next two
	last    *flight    // that was decided
	highest int64      // end of the numbers that this Store was given

	translate func([]store.Publication) ([]store.Statement, error)

	mu     sync.RWMutex // held for reading by calls under way
	closed bool
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Migrator  = (*Store)(nil)
	_ store.Waker     = (*Store)(nil)
	_ store.Publisher = (*Store)(nil)
	_ store.Pipelined = (*Store)(nil)
)

// openTimeout is how long Open takes at most.
const openTimeout = 4500 * time.Millisecond

// Open opens the store on the server at address, host:port, and makes it if
// there is none under the prefix (see [store.Options].NoMigrate). It logs how
// durable the server's settings make a commit. The caller closes the Store. It
// starts nothing in the background.
//
// Errors, after 5 s at the latest, are one line that says what is wrong:
// store.ErrUnavailable when the server can't be reached, is loading its data
// or is a replica; store.ErrSchema for a newer store, or for none with
// NoMigrate. A server that may evict keys, or is older than Redis 7.0, is
// refused.
func Open(ctx context.Context, address string, c Config) (*Store, error) {
	c, err := c.complete()
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	address = withPort(address)
	s := &Store{config: c, address: address, root: "{" + c.Prefix + ":0}"}
	s.client = connect(address, c)
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(explain(address, err), s.client.Close())
	}
	return s, nil
}

// silence is for the client's log, which has a line for each attempt to connect
// and goes past the program's own. Whoever wants it calls the client's SetLogger
// before anything is opened.
type silence struct{}

// Printf implements the client's interface.
func (silence) Printf(context.Context, string, ...any) {}

func init() { client.SetLogger(silence{}) }

func connect(address string, c Config) client.UniversalClient {
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if c.Cluster {
		return client.NewClusterClient(&client.ClusterOptions{
			Addrs: []string{address}, Username: c.Username, Password: c.Password, TLSConfig: c.TLS,
			Protocol: 2, DialTimeout: dialTimeout, DialerRetries: 1, ReadTimeout: c.Timeout, WriteTimeout: c.Timeout,
			PoolSize: c.Connections, MaxActiveConns: c.Connections, ContextTimeoutEnabled: true,
			MaintNotificationsConfig: quiet,
		})
	}
	return client.NewClient(&client.Options{
		Addr: address, Username: c.Username, Password: c.Password, DB: c.DB, TLSConfig: c.TLS,
		Protocol: 2, MaxRetries: -1, DialTimeout: dialTimeout, DialerRetries: 1, ReadTimeout: c.Timeout, WriteTimeout: c.Timeout,
		PoolSize: c.Connections, MaxActiveConns: c.Connections, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: quiet,
	})
}

// begin looks at the server, and finds the store on it.
func (s *Store) begin(ctx context.Context) error {
	var err error
	if s.facts, err = s.inspect(ctx); err != nil {
		return err
	}
	if err := s.facts.suit(); err != nil {
		return err
	}
	s.facts.tell(s.config.Log, s.address)
	o := s.config.Options
	_, to, err := s.found(ctx, !o.NoMigrate && !o.MigrateLater)
	if err != nil || to > 0 || o.MigrateLater {
		return err
	}
	return fmt.Errorf("%w: there is no store under the prefix %q; run millrace migrate", store.ErrSchema, s.config.Prefix)
}

// node returns the server that has the store.
func (s *Store) node(ctx context.Context) (*client.Client, error) {
	if cluster, ok := s.client.(*client.ClusterClient); ok {
		return cluster.MasterForKey(ctx, s.root)
	}
	return s.client.(*client.Client), nil
}

// enter registers a call; leave ends it.
func (s *Store) enter(ctx context.Context, op string) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, explain(op, err)
	}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return nil, explain(op, store.ErrClosed)
	}
	return s.mu.RUnlock, nil
}

// clock is what scripts are told of the time: nothing, when the server's
// counts.
func (s *Store) clock() string {
	if s.config.Options.Now == nil {
		return ""
	}
	return strconv.FormatInt(int64(store.At(s.config.Options.Now())), 10)
}

// Close implements [store.Store].
func (s *Store) Close() error {
	s.alarm.hangUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.alarm.hangUp() // if somebody began to listen meanwhile
	return explain("close", s.client.Close())
}
