package relay

import (
	"context"
	"errors"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/envelope"
	"github.com/millrace-go/millrace/step"
)

// intakeBatch is how many deliveries are claimed at once.
const intakeBatch = 64

// claimers is how many claims of a topic are under way at once.
const claimers = 2

// intake takes in what comes for the handlers of a topic: it claims what is in
// this store already, and inserts what is not. Deliveries that wait are taken
// together.
func (r *Relay) intake(ctx context.Context, topic string, in <-chan *message.Message) {
	var under sync.WaitGroup
	defer under.Wait()
	slots := make(chan struct{}, claimers)
	for msg := range in {
		claims, seqs := r.sort(ctx, &under, topic, waiting(in, msg))
		if len(seqs) == 0 {
			continue
		}
		slots <- struct{}{}
		under.Go(func() {
			defer func() { <-slots }()
			err := r.engine.Claim(ctx, topic, seqs)
			if err == nil {
				r.windows.took(topic, len(seqs))
			}
			answer(err, claims...)
		})
	}
}

// waiting returns first and what waits behind it.
func waiting(in <-chan *message.Message, first *message.Message) []*message.Message {
	batch := append(make([]*message.Message, 0, intakeBatch), first)
	for len(batch) < intakeBatch {
		select {
		case msg, ok := <-in:
			if !ok {
				return batch
			}
			batch = append(batch, msg)
		default:
			return batch
		}
	}
	return batch
}

// sort returns the deliveries that stand for messages of this store, and the
// numbers of these. The others are inserted, bounded by the subscription.
func (r *Relay) sort(ctx context.Context, under *sync.WaitGroup, topic string, batch []*message.Message) (claims []*message.Message, seqs []int64) {
	name := r.engine.StoreName()
	for _, msg := range batch {
		if own := envelope.Claims(name, msg); len(own) > 0 {
			seqs, claims = append(seqs, own...), append(claims, msg)
			continue
		}
		under.Go(func() { r.insert(ctx, topic, msg) })
	}
	return claims, seqs
}

// insert takes in a message that is not in this store: another store's, or a
// foreign producer's.
func (r *Relay) insert(ctx context.Context, topic string, msg *message.Message) {
	out := &step.Outcome{Verb: step.Insert}
	switch home, send, ok := envelope.FromHome(topic, msg); {
	case ok:
		out.Source, out.Sends = step.HomeSource(home), []step.Send{send}
	case envelope.IsEnvelope(msg): // a slip of another store: service and store don't go together
		r.log.Error("millrace: an envelope is for handlers on another store; all processes of a service must have the same store",
			"topic", topic, "store", msg.Metadata[envelope.Store])
		msg.Ack() // its own store sees to it
		return
	default:
		out.Source = &step.Source{Consumer: topic, ID: envelope.SourceID(msg), Here: true}
		out.Sends = []step.Send{foreign(topic, msg)}
	}
	_, err := r.engine.Commit(ctx, out)
	switch refused := errors.Is(err, step.ErrTooLarge) || errors.Is(err, step.ErrBadName); {
	case refused && out.Source.Home != nil:
		out.Sends, out.Failure = nil, step.FailureOf(err) // its own store is told
		_, err = r.engine.Commit(ctx, out)
	case refused:
		err = r.Park(topic, msg, err)
	}
	if err != nil && ctx.Err() == nil {
		r.log.Warn("millrace: a message from the broker can't be taken in; it will come again", "topic", topic, "message", msg.UUID, "error", err)
	}
	answer(err, msg)
}

// Park puts a foreign message of a topic, which no store takes, where people can
// look at it: it would come again for ever. It blocks until the broker has it.
// If that fails, the message is to come again, and is parked then.
func (r *Relay) Park(topic string, msg *message.Message, why error) error {
	parked := msg.Copy()
	parked.Metadata[envelope.Parked] = why.Error()
	to := topic + ".parked"
	if err := r.broker.Publish(to, parked); err != nil {
		return err
	}
	r.log.Warn("millrace: a message from the broker can't be taken in; it is parked", "topic", topic, "parked", to, "message", msg.UUID, "error", why)
	return nil
}

// foreign is the message of a producer that knows nothing of stores. One that
// names no task gets a name that nobody has a handler for: whoever looks at
// the dead letter is to see why.
func foreign(topic string, msg *message.Message) step.Send {
	send := envelope.Send(topic, msg)
	if send.Task == "" {
		send.Task = topic + "/(none named)"
	}
	return send
}

// answer acknowledges deliveries, or refuses them.
func answer(err error, msgs ...*message.Message) {
	for _, msg := range msgs {
		if err != nil {
			msg.Nack()
		} else {
			msg.Ack()
		}
	}
}
