package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
)

// Engine is what the relay needs of the engine.
type Engine interface {
	// Claim takes messages of the store for the handlers of a topic.
	Claim(ctx context.Context, topic string, seqs []int64) error
	// ClaimOne takes one message, to end it in the caller's name.
	ClaimOne(ctx context.Context, seq int64) (m *store.Message, exists bool, err error)
	// Commit stores an outcome that is about no message of the caller's.
	Commit(ctx context.Context, out *step.Outcome) (step.Verdict, error)
	// HostAway takes the messages of a topic that is to be published.
	HostAway(topic string)
	// Next blocks until a message of the topic is there.
	Next(ctx context.Context, topic string) (*store.Message, error)
	// Publish frees such a message, and gives it to the relay.
	Publish(ctx context.Context, m *store.Message) error
	// EndWithin commits the outcome of a message, unless ctx ends.
	EndWithin(ctx context.Context, u *step.Unit, err error) error
	// Find lists rows of the store.
	Find(ctx context.Context, q store.Query) (store.Found, error)
	// StoreName returns the name of the store.
	StoreName() string
}

// Config sets up a [Relay].
type Config struct {
	Transport transports.Transport

	// InCommit says that the store publishes by itself, in its commits.
	InCommit bool

	// Window is how many messages of a topic may be in the broker at once; the
	// rest waits in the store. Default 4096.
	Window int

	// Concurrency is how many messages of a topic are taken from the broker at
	// once. Default 256.
	Concurrency int

	Log *slog.Logger // default slog.Default()
}

// Relay implements engine.Relay. Its methods are safe for concurrent use.
type Relay struct {
	cfg    Config
	engine Engine
	log    *slog.Logger
	broker message.Publisher

	served map[string]bool // topics of the services here; not changed once Run was called
	hosted map[string]bool // and those of plain handlers; likewise

	windows windows
	health  health

	mu    sync.Mutex
	queue []*store.Message // to be published
	ready chan struct{}

	asks  chan string     // topics to ask the broker about
	noted chan string     // topics without handlers here
	away  map[string]bool // those that are published here; of awayLoop
}

// New returns a relay that does nothing yet. It must be given its engine and
// the topics that have handlers here, by Serve, before it runs.
func New(cfg Config) (*Relay, error) {
	if cfg.Window <= 0 {
		cfg.Window = 4096
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 256
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	pub, err := cfg.Transport.Publisher()
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	r := &Relay{
		cfg: cfg, log: cfg.Log, broker: pub, served: map[string]bool{}, hosted: map[string]bool{}, away: map[string]bool{},
		ready: make(chan struct{}, 1), noted: make(chan string, 64), asks: make(chan string, 64),
	}
	r.health.log = cfg.Log
	r.windows.init(cfg)
	return r, nil
}

// Serve gives the relay its engine, the topics of the services that have their
// handlers here, and those that plain handlers see to by themselves. It is
// called once, before the engine runs.
func (r *Relay) Serve(e Engine, services, plain []string) {
	r.engine = e
	for _, t := range services {
		r.served[t], r.hosted[t] = true, true
	}
	for _, t := range plain {
		r.hosted[t] = true
	}
}

// Run implements engine.Relay.
func (r *Relay) Run(ctx, taking context.Context) {
	var all sync.WaitGroup
	all.Go(func() { r.publishLoop(ctx) })
	all.Go(func() { r.askLoop(ctx) })
	all.Go(func() { r.awayLoop(ctx, taking) })
	for topic := range r.served {
		all.Go(func() { r.take(taking, topic, r.intake) })
	}
	all.Go(func() {
		r.take(taking, step.HomeTopic(r.engine.StoreName()), func(_ context.Context, _ string, in <-chan *message.Message) {
			r.receive(ctx, in)
		})
	})
	all.Wait()
}

// steady is how long a subscription lasts that is taken for a good one.
const steady = time.Second

// take subscribes to a topic until ctx ends, and gives what comes to a
// function that returns when its channel is closed.
func (r *Relay) take(ctx context.Context, topic string, each func(ctx context.Context, topic string, in <-chan *message.Message)) {
	for try := 1; ; try++ {
		began := time.Now()
		err := r.subscription(ctx, topic, each)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > steady {
			try = 1
		}
		r.health.bad(topic, fmt.Errorf("subscribe to %s: %w", topic, err))
		if !pause(ctx, try) {
			return
		}
	}
}

// errEnded says that a subscription ended by itself.
var errEnded = errors.New("the subscription ended")

// subscription is one of the subscriptions of take. It returns when that has
// ended.
func (r *Relay) subscription(ctx context.Context, topic string, each func(context.Context, string, <-chan *message.Message)) error {
	sub, err := r.cfg.Transport.Subscriber(r.cfg.Concurrency)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }() // what is in flight then comes again
	begun := time.Now()
	in, err := sub.Subscribe(ctx, topic)
	if err != nil {
		return err
	}
	lasts, ended := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		if wait(lasts, steady) {
			r.health.good(topic, begun)
		}
	})
	each(ctx, topic, in)
	ended()
	watch.Wait()
	return errEnded
}
