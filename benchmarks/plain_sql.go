package main

import (
	"context"
	stdsql "database/sql"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
)

// sqlBus has two tables for each topic, in the place's database. More
// subscriptions of a topic would not be faster: one reads at a time.
func sqlBus(_ context.Context, p *place, topics []string) (*bus, error) {
	db, err := stdsql.Open("postgres", p.store)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(plainSubscriptions)
	db.SetMaxIdleConns(plainSubscriptions)
	over := &bus{close: db.Close}
	log := watermill.NopLogger{}
	schema := sql.DefaultPostgreSQLSchema{}
	over.publisher, err = sql.NewPublisher(db, sql.PublisherConfig{SchemaAdapter: schema}, log)
	if err != nil {
		return nil, err
	}
	sub, err := sql.NewSubscriber(db, sql.SubscriberConfig{
		ConsumerGroup: "plain", SchemaAdapter: schema, OffsetsAdapter: sql.DefaultPostgreSQLOffsetsAdapter{},
		PollInterval: 5 * time.Millisecond,
	}, log)
	if err != nil {
		return nil, err
	}
	for _, t := range topics {
		if err := sub.SubscribeInitialize(t); err != nil {
			return nil, err
		}
	}
	over.subscribers = []message.Subscriber{sub}
	return over, nil
}
