package router

import (
	"context"
	"errors"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/engine"
	"github.com/millrace-go/millrace/middleware"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/native"
)

// addPlain adds a plain Watermill handler. Without a broker its messages
// travel through the store. With one, they come from the broker's topic and
// are taken into the store, under a topic of the handler's own; retries come
// from there, and never go back to the broker. What the handler returns
// waits in the store, in an outbox, from which a second handler publishes it:
// it reaches the broker at least once, always with the same UUID.
func (r *Router) addPlain(wm *message.Router, sub message.Subscriber, p plainHandler) error {
	pub := message.Publisher(native.NewPublisher(r.engine))
	to := p.to
	if r.broker != nil {
		in, err := r.broker.Subscriber(r.cfg.Concurrency)
		if err != nil {
			return err
		}
		sub = transports.Merge(sub, renamed{sub, engine.TakenTopic(p.name)}, in)
		if to != "" {
			if to, err = r.addOutbox(wm, p); err != nil {
				return err
			}
		}
	}
	if to == "" {
		wm.AddConsumerHandler(p.name, p.from, sub, consumer(p.fn))
		return nil
	}
	wm.AddHandler(p.name, p.from, sub, to, pub, p.fn)
	return nil
}

// park is a middleware that puts aside what comes from the broker and can't be
// taken into the store, now or later.
func (r *Router) park(h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		out, err := h(msg)
		if errors.Is(err, middleware.ErrRefused) {
			return nil, r.relay.Park(message.SubscribeTopicFromCtx(msg.Context()), msg, err)
		}
		return out, err
	}
}

// renamed subscribes to another topic than it is asked for.
type renamed struct {
	message.Subscriber
	topic string
}

func (s renamed) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	return s.Subscriber.Subscribe(ctx, s.topic)
}

// plainTopics are the topics that plain handlers have to do with.
func (r *Router) plainTopics() (topics []string) {
	for _, p := range r.plain {
		topics = append(topics, p.from)
	}
	return topics
}

// outboxTopic is where the store keeps what a plain handler returned.
func outboxTopic(handler string) string { return store.Internal + "outbox:" + handler }

// addOutbox adds the handler that publishes what p returns, and returns the
// topic of the store where it finds that.
func (r *Router) addOutbox(wm *message.Router, p plainHandler) (topic string, err error) {
	pub, err := r.broker.Publisher()
	if err != nil {
		return "", err
	}
	topic = outboxTopic(p.name)
	sub := native.NewSubscriber(r.engine, native.Config{Concurrency: r.cfg.Concurrency, Begun: true})
	wm.AddConsumerHandler(topic, topic, sub, func(msg *message.Message) error {
		out := msg.Copy()
		out.SetContext(context.WithoutCancel(msg.Context()))
		return pub.Publish(p.to, out)
	})
	return topic, nil
}
