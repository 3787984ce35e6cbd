package relay

import (
	"context"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/envelope"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
)

// slipSize is how many messages an envelope stands for at most, for those on
// the same store. A larger one would keep them from spreading over processes.
const slipSize = 16

// publishers is how many batches are on their way to the broker at once.
const publishers = 4

// publishTimeout is how long the broker may take for a batch.
const publishTimeout = 10 * time.Second

// Windows implements engine.Relay. While the broker does not answer, it is
// given nothing: then messages are handed over in memory, or wait in the store.
func (r *Relay) Windows() (rooms map[string]int, others int) {
	switch r.health.now() {
	case not:
		return nil, 0
	case little:
		rooms, others = r.open()
		for topic, room := range rooms {
			rooms[topic] = min(room, slipSize)
		}
		return rooms, min(others, slipSize)
	}
	return r.open()
}

func (r *Relay) open() (rooms map[string]int, others int) {
	rooms, others, ask := r.windows.open()
	for _, topic := range ask {
		r.askAbout(topic)
	}
	return rooms, others
}

// Served implements engine.Relay.
func (r *Relay) Served() map[string]bool { return r.served }

// InCommit implements engine.Relay.
func (r *Relay) InCommit(ms []*store.Message) []store.Publication {
	if !r.cfg.InCommit {
		return nil
	}
	return r.envelopes(ms)
}

// Publish implements engine.Relay.
func (r *Relay) Publish(ms []*store.Message) {
	r.count(ms)
	if r.cfg.InCommit {
		return
	}
	r.mu.Lock()
	r.queue = append(r.queue, ms...)
	r.mu.Unlock()
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// count notes in the windows what goes to the broker.
func (r *Relay) count(ms []*store.Message) {
	for topic, n := range byTopic(ms) {
		under := n
		if r.cfg.InCommit { // they are there
			under = 0
		}
		if r.windows.gave(topic, n, under) {
			r.askAbout(topic)
		}
	}
}

func byTopic(ms []*store.Message) map[string]int {
	n := map[string]int{}
	for _, m := range ms {
		n[m.Topic]++
	}
	return n
}

// askAbout makes askLoop ask about a topic, unless it is busy.
func (r *Relay) askAbout(topic string) {
	select {
	case r.asks <- topic:
	default:
	}
}

// askLoop asks the broker how much it has of topics.
func (r *Relay) askLoop(ctx context.Context) {
	for {
		select {
		case topic := <-r.asks:
			if r.windows.ask(ctx, topic, r.each(topic)) && !r.served[topic] {
				r.Noted(topic) // what waits in the store can go now
			}
		case <-ctx.Done():
			return
		}
	}
}

// each is how many messages an envelope of a topic may stand for.
func (r *Relay) each(topic string) int {
	if r.served[topic] {
		return slipSize
	}
	return 1
}

// publishLoop publishes what is queued, until ctx ends. What is queued then is
// published all the same, as far as there is time.
func (r *Relay) publishLoop(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	slots := make(chan struct{}, publishers)
	for {
		select {
		case <-r.ready:
		case <-ctx.Done():
			r.send(context.WithoutCancel(ctx), r.queued())
			return
		}
		slots <- struct{}{}
		ms := r.queued()
		under.Go(func() {
			defer func() { <-slots }()
			r.send(context.WithoutCancel(ctx), ms)
		})
	}
}

func (r *Relay) queued() []*store.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	ms := r.queue
	r.queue = nil
	return ms
}

// send publishes messages. What fails is not tried again here: the store knows
// when they are due again.
func (r *Relay) send(ctx context.Context, ms []*store.Message) {
	if len(ms) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	err := r.publish(ctx, r.envelopes(ms)) // it has said so
	for topic, n := range byTopic(ms) {
		r.windows.arrived(topic, n, err == nil)
	}
}

func (r *Relay) publish(ctx context.Context, all []store.Publication) error {
	begun := time.Now()
	err := publishAll(ctx, r.broker, all)
	if err != nil {
		r.health.bad(publishing, err)
		return err
	}
	r.health.good(publishing, begun)
	return nil
}

// publishAll publishes by the quickest way that the publisher knows.
func publishAll(ctx context.Context, pub message.Publisher, all []store.Publication) error {
	if b, ok := pub.(transports.BatchPublisher); ok {
		return b.PublishBatch(ctx, all)
	}
	for _, p := range all {
		msg := message.NewMessage(p.UUID, p.Payload)
		for k, v := range p.Metadata {
			msg.Metadata[k] = v
		}
		msg.SetContext(ctx)
		if err := pub.Publish(p.Topic, msg); err != nil {
			return err
		}
	}
	return nil
}

// envelopes puts messages into envelopes: several into one where they are for
// handlers on the same store.
func (r *Relay) envelopes(ms []*store.Message) []store.Publication {
	name := r.engine.StoreName()
	out := make([]store.Publication, 0, len(ms))
	slips := map[string][]*store.Message{}
	for _, m := range ms {
		if m.Lent {
			out = append(out, envelope.Whole(name, m))
			continue
		}
		slip := append(slips[m.Topic], m)
		if len(slip) == slipSize {
			out, slip = append(out, envelope.Slip(name, slip)), nil
		}
		slips[m.Topic] = slip
	}
	for _, slip := range slips {
		if len(slip) > 0 {
			out = append(out, envelope.Slip(name, slip))
		}
	}
	return out
}
