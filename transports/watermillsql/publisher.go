package watermillsql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/lib/pq"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
)

// statements makes the SQL that publishes, and first makes the tables that are
// missing. Nothing is made of nothing.
func statements(batch []store.Publication) ([]store.Statement, error) {
	names, parts := byTopic(batch)
	if len(names) == 0 {
		return nil, nil
	}
	tables, ddl := make([]string, len(names)), make([]string, len(names))
	var all []store.Statement
	for i, name := range names {
		t := topicOf(name)
		tables[i], ddl[i] = t.messages, t.ddl
		some, err := inserts(t, parts[name])
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	ready := store.Statement{Text: sqlReady, Args: []any{pq.Array(tables), pq.Array(ddl)}}
	return append([]store.Statement{ready}, all...), nil
}

// byTopic sorts publications by topic, each topic's in their order.
func byTopic(batch []store.Publication) (names []string, parts map[string][]store.Publication) {
	parts = map[string][]store.Publication{}
	for _, p := range batch {
		if parts[p.Topic] == nil {
			names = append(names, p.Topic)
		}
		parts[p.Topic] = append(parts[p.Topic], p)
	}
	slices.Sort(names)
	return names, parts
}

// publisher outlives the handlers that close it.
type publisher struct{ t *Transport }

var _ transports.BatchPublisher = publisher{}

// Publish implements [message.Publisher].
func (p publisher) Publish(topic string, msgs ...*message.Message) error {
	batch := make([]store.Publication, len(msgs))
	for i, msg := range msgs {
		batch[i] = store.Publication{Topic: topic, UUID: msg.UUID, Metadata: msg.Metadata, Payload: msg.Payload}
	}
	return p.PublishBatch(context.Background(), batch)
}

// PublishBatch implements [transports.BatchPublisher]: all or nothing.
func (p publisher) PublishBatch(ctx context.Context, batch []store.Publication) error {
	db, err := p.t.database()
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	all, err := statements(batch)
	if err != nil || len(all) == 0 {
		return err
	}
	err = inTx(ctx, db, func(tx *sql.Tx) error {
		for _, st := range all {
			if _, err := tx.ExecContext(ctx, st.Text, st.Args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("publish to %s: %w", batch[0].Topic, err)
	}
	return nil
}

func (publisher) Close() error { return nil }
