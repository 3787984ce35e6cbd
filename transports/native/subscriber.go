package native

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/envelope"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports/inflight"
)

// Config sets up a [Subscriber].
type Config struct {
	Concurrency int // most messages of a subscription in flight; default 256

	// Begun says that whoever gets the messages begins and ends their units
	// of work, as the Idempotency middleware does. Otherwise acknowledging a
	// message is its outcome, and refusing it is a failed attempt, after which
	// it comes again: at first soon, then after up to a minute.
	Begun bool

	// Drain is how long a subscription that ended waits for its messages in
	// flight, unless Begun; default 30 s. Then they are given back.
	Drain time.Duration
}

// Subscriber delivers what the engine holds. It is safe for concurrent use.
type Subscriber struct {
	e    Engine
	cfg  Config
	open inflight.Group
}

// NewSubscriber returns a subscriber on e.
func NewSubscriber(e Engine, cfg Config) *Subscriber {
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 256
	}
	if cfg.Drain <= 0 {
		cfg.Drain = 30 * time.Second
	}
	return &Subscriber{e: e, cfg: cfg, open: inflight.Group{Err: store.ErrClosed}}
}

// Subscribe delivers the messages of a topic until ctx ends or the subscriber
// is closed; then the channel is closed. Several subscriptions of a topic
// share its messages.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	open := func(context.Context) error {
		s.e.Host(topic, s.cfg.Concurrency)
		return nil
	}
	err := s.open.Open(ctx, open, func(ctx context.Context) {
		defer s.e.Unhost(topic, s.cfg.Concurrency)
		defer close(out)
		if s.cfg.Begun {
			s.pump(ctx, topic, out)
		} else {
			s.pumpAcked(ctx, topic, out)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return out, nil
}

// pump delivers messages whose units somebody else begins and ends.
func (s *Subscriber) pump(ctx context.Context, topic string, out chan<- *message.Message) {
	for {
		m, err := s.e.Next(ctx, topic)
		if err != nil {
			return
		}
		if !s.deliver(ctx, out, m, envelope.Message(ctx, m)) {
			return
		}
	}
}

// pumpAcked delivers messages whose acknowledgement is their outcome. Their
// contexts outlive the subscription's, so that its end interrupts nobody.
func (s *Subscriber) pumpAcked(ctx context.Context, topic string, out chan<- *message.Message) {
	slots := make(chan struct{}, s.cfg.Concurrency)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		m, err := s.e.Next(ctx, topic)
		if err != nil {
			return
		}
		work, cancel := context.WithCancel(context.WithoutCancel(ctx))
		msg := envelope.Message(work, m)
		if !s.deliver(ctx, out, m, msg) {
			cancel()
			return
		}
		s.open.Go(func() {
			defer func() { <-slots }()
			defer cancel()
			s.await(ctx, m, msg)
		})
	}
}

// deliver hands a message out, or gives it back when ctx ends first.
func (s *Subscriber) deliver(ctx context.Context, out chan<- *message.Message, m *store.Message, msg *message.Message) bool {
	select {
	case out <- msg:
		return true
	case <-ctx.Done():
		s.e.GiveBack(ctx, m)
		return false
	}
}

// errNacked is the failure of an attempt that was refused.
var errNacked = errors.New("refused by its subscriber (nack)")

// await makes the acknowledgement of a message its outcome. An outcome that
// could not be stored makes the message come again.
func (s *Subscriber) await(ctx context.Context, m *store.Message, msg *message.Message) {
	ended := ctx.Done()
	var over <-chan time.Time
	for {
		select {
		case <-msg.Acked():
			_ = s.e.End(ctx, &step.Unit{Message: m}, nil)
			return
		case <-msg.Nacked():
			_ = s.e.End(ctx, &step.Unit{Message: m}, &step.RetryError{After: again(m.Attempt), Err: errNacked})
			return
		case <-ended:
			drain := time.NewTimer(s.cfg.Drain)
			defer drain.Stop()
			ended, over = nil, drain.C
		case <-over:
			s.e.GiveBack(ctx, m)
			return
		}
	}
}

// again is the delay after the n-th time that a message was refused: without
// it a subscriber that refuses everything would keep the store busy.
func again(n int) time.Duration {
	return min(10*time.Millisecond<<min(n, 13), time.Minute)
}

// Close ends all subscriptions and waits for them, and for what they have in
// flight. Closing twice is allowed.
func (s *Subscriber) Close() error {
	s.open.Close()
	return nil
}
