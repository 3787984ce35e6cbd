package main

import (
	"context"
	"net/url"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
)

// redisBus has a stream for each topic, and one group of consumers for all.
func redisBus(_ context.Context, p *place, topics []string) (*bus, error) {
	u, err := url.Parse(p.transport)
	if err != nil {
		return nil, err
	}
	u.RawQuery = "" // for millrace
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, err
	}
	o.PoolSize = plainSubscriptions * (len(topics) + 2)
	c := redis.NewClient(o)
	log := watermill.NopLogger{}
	over := &bus{close: c.Close}
	if over.publisher, err = redisstream.NewPublisher(redisstream.PublisherConfig{Client: lent{c}}, log); err != nil {
		return nil, err
	}
	for range plainSubscriptions {
		s, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
			Client: lent{c}, ConsumerGroup: p.service, Consumer: watermill.NewShortUUID(),
			DisableIndefiniteInitialBlock: true,
		}, log)
		if err != nil {
			return nil, err
		}
		over.subscribers = append(over.subscribers, message.Subscriber(s))
	}
	return over, nil
}

// lent is a client that those who use it do not close, though they would.
type lent struct{ redis.UniversalClient }

func (lent) Close() error { return nil }
