package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/millrace-go/millrace/envelope"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// errHeld refuses the outcome of a message that somebody holds just now.
var errHeld = errors.New("the message is held")

// lookForTopics is how often the relay looks which topics other processes of
// the store have noted.
const lookForTopics = 30 * time.Second

// Noted implements engine.Relay.
func (r *Relay) Noted(topic string) {
	select {
	case r.noted <- topic:
	default: // it is found when the relay looks next
	}
}

// awayLoop publishes, from the store, what is due of topics that no handler
// here takes: what nobody claimed, what the window had no room for, what is due
// now and was not when it was sent.
func (r *Relay) awayLoop(ctx, taking context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	look := time.NewTimer(0)
	defer look.Stop()
	for {
		var topics []string
		select {
		case topic := <-r.noted:
			topics = []string{topic}
		case <-look.C:
			topics = r.notedTopics(taking)
			look.Reset(lookForTopics)
		case <-taking.Done():
			return
		}
		for _, topic := range topics {
			if r.adopt(topic) {
				all.Go(func() { r.publishAway(ctx, taking, topic) })
			}
			if r.away[topic] {
				r.engine.HostAway(topic) // which looks what is there
			}
		}
	}
}

// notedTopics lists the topics that processes of this store have noted.
func (r *Relay) notedTopics(ctx context.Context) (topics []string) {
	type nothing struct{}
	for key, row := range step.Rows[nothing](ctx, r.engine.Find, store.Topic, "") {
		if row.Err != nil && !errors.Is(row.Err, store.ErrCorrupt) {
			break // looked at again later
		}
		topics = append(topics, key.Name)
	}
	return topics
}

// adopt makes a topic one of those that the relay publishes, unless it is.
func (r *Relay) adopt(topic string) bool {
	if r.hosted[topic] || r.away[topic] {
		return false
	}
	r.away[topic] = true
	r.engine.HostAway(topic)
	return true
}

// publishAway publishes what the engine takes of a topic.
func (r *Relay) publishAway(ctx, taking context.Context, topic string) {
	var under sync.WaitGroup
	defer under.Wait()
	for {
		m, err := r.engine.Next(taking, topic)
		if err != nil {
			return
		}
		under.Go(func() { r.publishOne(ctx, taking, m) }) // bounded by the engine
	}
}

// publishOne publishes a message of the store, when the window has room.
// One to a task stays in the store until its outcome is there; any other has
// ended once the broker has it.
func (r *Relay) publishOne(ctx, taking context.Context, m *store.Message) {
	if !r.awaitWindow(taking, m.Topic) {
		_ = r.engine.EndWithin(ctx, &step.Unit{Message: m}, step.ErrInterrupted)
		return
	}
	if m.Task != "" {
		_ = r.engine.Publish(ctx, m)         // an error leaves it to who finds it due
		r.windows.arrived(m.Topic, 1, false) // it was counted anew
		return
	}
	pub, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	err := r.publish(pub, []store.Publication{envelope.Plain(m)})
	r.windows.arrived(m.Topic, 1, err == nil)
	if err != nil {
		pause(taking, 6)
		err = step.ErrInterrupted
	}
	_ = r.engine.EndWithin(ctx, &step.Unit{Message: m}, err) // an error leaves it to who finds it free
}

// awaitWindow waits until the broker answers and may be given a message, for
// which it then keeps room. It reports false when ctx ended first. It seldom
// waits: the engine takes no more than there is room for.
func (r *Relay) awaitWindow(ctx context.Context, topic string) bool {
	for try := 1; ; try++ {
		room, ask := false, false
		if r.health.now() != not {
			room, ask = r.windows.reserve(topic)
		}
		if ask {
			r.windows.ask(ctx, topic, r.each(topic))
		}
		if room {
			return true
		}
		if !pause(ctx, try) {
			return false
		}
	}
}
