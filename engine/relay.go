package engine

import (
	"context"
	"errors"
	"maps"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Relay carries the envelopes of messages to a broker, and brings those that
// came back to [Engine.Claim]. Its methods are safe for concurrent use, and all
// but Run return at once.
type Relay interface {
	// Run works until ctx ends. From the end of taking on it brings nothing
	// any more, but goes on publishing. It is called when the engine has a
	// worker.
	Run(ctx, taking context.Context)

	// Windows says how many messages of each topic the broker may be given,
	// and how many of each that is not named.
	Windows() (rooms map[string]int, others int)

	// Served returns the topics whose handlers work on this store. The map is
	// not changed while Run works.
	Served() map[string]bool

	// Publish publishes messages that are stored.
	Publish(ms []*store.Message)

	// InCommit returns what a commit is to publish itself, for these messages
	// of it; nil when Publish is to be called after it.
	InCommit(ms []*store.Message) []store.Publication

	// Noted tells of a topic that some of this process's messages go to, and
	// that it does not host.
	Noted(topic string)
}

// broker is what a fold is told about the broker: nil, if there is none.
func (e *Engine) broker() *step.Broker {
	if e.cfg.Relay == nil {
		return nil
	}
	b := &step.Broker{
		Local: e.cfg.Local, Again: store.Instant(e.cfg.Republish.Microseconds()), Known: *e.known.Load(),
	}
	if e.relaying.Load() {
		b.Room, b.Others = e.cfg.Relay.Windows()
		b.Served = e.cfg.Relay.Served()
	}
	return b
}

// Know says that a topic needs no row: it has one, or is hosted here.
func (e *Engine) Know(topics ...string) {
	if len(topics) == 0 {
		return
	}
	for {
		old := e.known.Load()
		now := maps.Clone(*old)
		for _, topic := range topics {
			now[topic] = true
		}
		if e.known.CompareAndSwap(old, &now) {
			return
		}
	}
}

// publish gives the relay what a commit has published.
func (e *Engine) publish(res *step.Result) {
	e.Know(res.Topics...)
	for _, topic := range res.Topics {
		e.cfg.Relay.Noted(topic)
	}
	if len(res.Published) > 0 {
		e.cfg.Relay.Publish(res.Published)
	}
}

// relay runs the relay, if there is one, until ctx ends.
func (e *Engine) relay(ctx, taking context.Context) {
	if e.cfg.Relay == nil {
		return
	}
	e.relaying.Store(true)
	defer e.relaying.Store(false)
	e.cfg.Relay.Run(ctx, taking)
}

// Claim takes the messages whose envelopes a broker has brought, for the
// handlers of a topic, as far as they are free: from then on the store answers
// for them. It waits while there is no room in memory. A message that is not
// there has its outcome; one that is held, or waits for its time, is
// somebody's. An error says that ctx has ended, and that some may not have been
// taken.
func (e *Engine) Claim(ctx context.Context, topic string, seqs []int64) error {
	for more := true; more; {
		if err := e.queues.awaitRoom(ctx, topic); err != nil {
			return err
		}
		var err error
		if more, err = e.claimSome(ctx, seqs); err != nil {
			return err
		}
	}
	return nil
}

// claimSome claims as much as may be taken at once, however long the store is
// out of reach, until ctx ends.
func (e *Engine) claimSome(ctx context.Context, seqs []int64) (more bool, err error) {
	for try := 1; ; try++ {
		more, err = e.claimOnce(ctx, seqs)
		if err == nil || errors.Is(err, store.ErrClosed) || !e.health.pause(ctx, try) {
			return more, err
		}
	}
}

func (e *Engine) claimOnce(ctx context.Context, seqs []int64) (more bool, err error) {
	g := store.Grab{Worker: e.worker.Load(), Seqs: seqs, Limit: len(seqs), Bytes: e.cfg.HoldBytes / 4}
	if g.Worker == 0 {
		return false, store.ErrLeaseLost // until the heartbeat has seen to it
	}
	defer e.flights.begin().land()
	got, err := e.store.Grab(ctx, g)
	if errors.Is(err, store.ErrLeaseLost) {
		return false, err
	}
	e.health.note(err)
	if err != nil {
		e.lost.raise()
		return false, err
	}
	e.takeIn(got)
	return got.More && len(got.Messages) > 0, nil
}

// ClaimOne takes one message, to end it in the caller's name: by EndWithin. It
// reports whether the message is there, and gives it if it was free.
func (e *Engine) ClaimOne(ctx context.Context, seq int64) (m *store.Message, exists bool, err error) {
	worker := e.worker.Load()
	if worker == 0 {
		return nil, true, store.ErrLeaseLost
	}
	defer e.flights.begin().land()
	got, err := e.store.Grab(ctx, store.Grab{Worker: worker, Seqs: []int64{seq}, Limit: 1})
	if err != nil {
		e.lost.raise()
		return nil, true, err
	}
	if len(got.Messages) == 1 {
		if m = got.Messages[0]; e.queues.adopt(m) {
			return m, true, nil
		}
		return nil, true, store.ErrLeaseLost
	}
	found, err := e.store.Find(ctx, store.Query{Messages: &store.MessageQuery{Seqs: []int64{seq}}, Limit: 1})
	return nil, err != nil || len(found.Messages)+len(found.Damaged) > 0, err
}

// Publish frees a message that Next gave for a topic that is not hosted for
// handlers, and gives it to the relay. It tries as long as ctx lasts.
func (e *Engine) Publish(ctx context.Context, m *store.Message) error {
	defer e.flights.begin().land()
	a := e.commits.one(ctx, &step.Outcome{Verb: step.Publish, Message: m})
	e.queues.done(m)
	return a.err
}

// EndWithin is End for what no handler runs: it gives up when ctx ends, and
// leaves the message to whoever finds it.
func (e *Engine) EndWithin(ctx context.Context, u *step.Unit, err error) error {
	defer e.flights.begin().land()
	out := e.outcome(u, err)
	a := e.commits.one(ctx, out)
	if a.err == nil && a.verdict.Code == step.Invalid {
		a = e.commits.one(ctx, e.outcome(u, &step.PermanentError{Err: a.verdict.Err}))
	}
	return e.leave(u, e.told(u, a))
}
