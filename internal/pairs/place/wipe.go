package place

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lib/pq"
	"github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/transports/memory"
)

func (pl *Place) wipeMemory([]string) error {
	broker := memory.Open(pl.name)
	broker.Wipe()
	return broker.Close()
}

// wipeStreams deletes streams, and with them their groups.
func (pl *Place) wipeStreams(topics []string) error {
	return onRedis(servers.Redis(pl.t), func(ctx context.Context, c *redis.Client) error {
		for _, topic := range topics {
			if err := c.Del(ctx, pl.name+":"+topic).Err(); err != nil {
				return err
			}
		}
		return nil
	})
}

// queues gives the place queues of its own, which are deleted with it.
func (pl *Place) queues(server string) {
	pl.t.Helper()
	pl.Transport = with(pl.t, server, "prefix", pl.name+".")
	pl.wipe = pl.wipeQueues
	pl.t.Cleanup(func() {
		var all []string
		for topic := range pl.topics {
			all = append(all, topic, topic+".parked")
		}
		if err := pl.wipeQueues(all); err != nil {
			pl.t.Fatalf("delete queues: %v", err)
		}
	})
}

// wipeQueues deletes queues. One that does not exist is deleted already.
func (pl *Place) wipeQueues(topics []string) (err error) {
	conn, err := amqp091.Dial(servers.AMQP(pl.t))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	slices.Sort(topics)
	for _, topic := range slices.Compact(topics) {
		if _, err := ch.QueueDelete(pl.name+"."+topic, false, false, false); err != nil {
			return err
		}
	}
	return nil
}

// emptyTables is carried out in the place's schema.
const emptyTables = `DO $$
DECLARE one regclass;
BEGIN
    FOR one IN SELECT oid FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' AND relname LIKE 'watermill\_%%' LOOP
        EXECUTE 'TRUNCATE ' || one;
    END LOOP;
END $$`

// wipeTables empties the tables of all topics.
func (pl *Place) wipeTables([]string) error {
	return administer(servers.Postgres(pl.t), fmt.Sprintf(emptyTables, pq.QuoteLiteral(pl.name)))
}
