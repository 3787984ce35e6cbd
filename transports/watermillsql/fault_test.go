package watermillsql_test

import (
	"bytes"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/transports/watermillsql"
)

// notes keeps the lines that are said.
type notes struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.Write(p)
}

func (n *notes) log() *slog.Logger { return slog.New(slog.NewTextHandler(n, nil)) }

// count returns how many lines contain part.
func (n *notes) count(part string) (found int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for line := range strings.Lines(n.buf.String()) {
		if strings.Contains(line, part) {
			found++
		}
	}
	return found
}

// What a process had received when it died comes to another. What a living one
// has in flight, for much longer than a lease, stays its own.
//
// M3
func TestCrashOfASubscriber(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const lease = 300 * time.Millisecond
	tr := b.open(watermillsql.Config{Lease: lease})
	_, ch := subscribe(t, tr, "topic", 1)
	publish(t, tr, "topic", "long", "orphan")
	long := receive(t, ch)
	b.exec(`INSERT INTO millrace_watermill_leases SELECT '"watermill_topic"', transaction_id, "offset", 'dead', clock_timestamp() + interval '300 ms'
		FROM watermill_topic WHERE uuid = 'orphan'`)
	death := time.Now()
	_, other := subscribe(t, b.open(watermillsql.Config{Lease: lease}), "topic", 5)
	msg := receive(t, other)
	require.Equal(t, "orphan", msg.UUID)
	require.Greater(t, time.Since(death), lease*8/10)
	require.True(t, msg.Ack())
	for range 3 { // leases go by
		publish(t, tr, "topic", "next")
		msg := receive(t, other)
		require.Equal(t, "next", msg.UUID, "a message in flight was taken over")
		held := time.NewTimer(lease / 2)
		<-held.C
		require.True(t, msg.Ack())
	}
	require.True(t, long.Ack())
	require.Eventually(t, func() bool { return b.number("SELECT count(*) FROM watermill_topic") == 0 }, patience, 5*time.Millisecond)
}

// A writer elsewhere in the server that does not end holds nobody up.
func TestIdleTransactionHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(watermillsql.Config{})
	_, ch := subscribe(t, tr, "topic", 1)
	publish(t, tr, "topic", "first")
	require.True(t, receive(t, ch).Ack())
	tx, err := b.db.Begin()
	require.NoError(t, err)
	_, err = tx.Exec("CREATE TABLE idle (x int)")
	require.NoError(t, err)
	publish(t, tr, "topic", "second")
	msg := receive(t, ch)
	require.Equal(t, "second", msg.UUID)
	require.True(t, msg.Ack())
	require.NoError(t, tx.Rollback())
}

// Two processes share a topic: each message goes to one of them.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := b.open(watermillsql.Config{}), b.open(watermillsql.Config{})
	_, a := subscribe(t, one, "topic", 3)
	_, c := subscribe(t, two, "topic", 3)
	const n = 300
	go func() {
		for range n / 10 {
			ids := make([]string, 10)
			for i := range ids {
				ids[i] = watermill.NewUUID()
			}
			publish(t, one, "topic", ids...)
		}
	}()
	seen := map[string]bool{}
	for len(seen) < n {
		var msg *message.Message
		select {
		case msg = <-a:
		case msg = <-c:
		case <-time.After(patience):
			require.FailNow(t, "no message came")
		}
		require.False(t, seen[msg.UUID], "a message came twice")
		seen[msg.UUID] = true
		require.True(t, msg.Ack())
	}
}

// A table that is deleted under load is made again, with one warning, by who
// subscribes and by who publishes.
//
// M11
func TestTableDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	said := &notes{}
	tr := b.open(watermillsql.Config{Log: said.log()})
	_, a := subscribe(t, tr, "topic", 1)
	_, c := subscribe(t, tr, "topic", 1)
	publish(t, tr, "topic", "lost", "lost")
	one, two := receive(t, a), receive(t, c)
	b.exec("DROP TABLE watermill_topic")
	require.True(t, one.Ack())
	require.True(t, two.Ack())
	require.Eventually(t, func() bool { return said.count("table was deleted") == 1 }, patience, time.Millisecond)
	publish(t, tr, "topic", "a", "b")
	one, two = receive(t, a), receive(t, c)
	require.True(t, one.Ack())
	require.True(t, two.Ack())
	require.Equal(t, 1, said.count("WARN"))
	for { // until it meets no deadlock with those who use several of these
		_, err := b.db.Exec("DROP TABLE watermill_topic, millrace_watermill_leases, millrace_watermill_sleepers")
		if deadlock := (*pq.Error)(nil); errors.As(err, &deadlock) && deadlock.Code == "40P01" {
			continue
		}
		require.NoError(t, err)
		break
	}
	require.Eventually(t, func() bool { return said.count("table was deleted") == 2 }, patience, time.Millisecond)
	publish(t, tr, "topic", "c", "d")
	one, two = receive(t, a), receive(t, c)
	require.True(t, one.Ack())
	require.True(t, two.Ack())
}

// A server that goes away is waited for, and what was in flight is not lost.
//
// R5
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	server := servers.StartPostgres(t)
	b := benchOn(t, server.URL())
	said := &notes{}
	tr := b.open(watermillsql.Config{Log: said.log(), Lease: time.Second})
	_, ch := subscribe(t, tr, "topic", 1)
	publish(t, tr, "topic", "a", "b")
	msg := receive(t, ch)
	server.Kill()
	require.True(t, msg.Ack())
	require.Eventually(t, func() bool { return said.count("trying again") == 1 }, patience, time.Millisecond)
	server.Start()
	msg = receive(t, ch)
	require.Equal(t, "b", msg.UUID)
	require.True(t, msg.Ack())
	require.Eventually(t, func() bool { return said.count("is back") == 1 }, patience, time.Millisecond)
	require.Eventually(t, func() bool {
		var n int
		return b.db.QueryRow("SELECT count(*) FROM watermill_topic").Scan(&n) == nil && n == 0
	}, patience, time.Millisecond)
	require.Equal(t, 1, said.count("trying again"))
}

// Services that use plain watermill-sql read what we publish, and we read what
// they do: payloads as BYTEA, and as JSON.
//
// L4
func TestPlainWatermillServices(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(watermillsql.Config{})
	for _, kind := range []string{"BYTEA", "JSON"} {
		schema := wsql.DefaultPostgreSQLSchema{GeneratePayloadType: func(string) string { return kind }}
		pub, err := wsql.NewPublisher(b.db, wsql.PublisherConfig{SchemaAdapter: schema, AutoInitializeSchema: true}, watermill.NopLogger{})
		require.NoError(t, err)
		sub, err := wsql.NewSubscriber(b.db, wsql.SubscriberConfig{
			ConsumerGroup: "plain", SchemaAdapter: schema, OffsetsAdapter: wsql.DefaultPostgreSQLOffsetsAdapter{},
			InitializeSchema: true, PollInterval: 10 * time.Millisecond,
		}, watermill.NopLogger{})
		require.NoError(t, err)

		sent := message.NewMessage("theirs", []byte(`{"a": 1}`))
		sent.Metadata.Set("key", "value")
		require.NoError(t, pub.Publish("to-us-"+kind, sent))
		_, ch := subscribe(t, tr, "to-us-"+kind, 1)
		got := receive(t, ch)
		require.True(t, got.Ack())
		require.True(t, sent.Equals(got))

		theirs, err := sub.Subscribe(t.Context(), "to-them-"+kind)
		require.NoError(t, err)
		sent = message.NewMessage("ours", []byte(`{"b": 2}`))
		sent.Metadata.Set("key", "value")
		mine, err := tr.Publisher()
		require.NoError(t, err)
		require.NoError(t, mine.Publish("to-them-"+kind, sent))
		got = receive(t, theirs)
		require.True(t, got.Ack())
		require.True(t, sent.Equals(got))
		require.Eventually(t, func() bool { // though the row stays in the table
			n, err := tr.Backlog(t.Context(), "to-them-"+kind)
			return err == nil && n == 0
		}, patience, time.Millisecond)
		require.NoError(t, sub.Close())
	}
}

// Rows of any making arrive: metadata that is not what watermill-sql writes
// stops nobody.
//
// M6
func TestForeignRows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(watermillsql.Config{})
	_, ch := subscribe(t, tr, "topic", 1)
	for metadata, want := range map[string]message.Metadata{
		`{"n": 1, "s": "x", "o": {"a": [2]}}`:   {"n": "1", "s": "x", "o": `{"a": [2]}`},
		`[1]`:                                   {"metadata": "[1]"},
		`null`:                                  {},
		`{"millrace_uuid": "no base64 \ud800"}`: {"millrace_uuid": "no base64 \ufffd"},
	} {
		b.exec(`INSERT INTO watermill_topic (uuid, payload, metadata, transaction_id) VALUES ('id', NULL, $1, pg_current_xact_id())`, metadata)
		msg := receive(t, ch)
		require.Equal(t, "id", msg.UUID)
		require.Equal(t, want, msg.Metadata)
		require.Empty(t, msg.Payload)
		require.True(t, msg.Ack())
	}
	b.exec(`INSERT INTO watermill_topic (uuid, metadata, transaction_id) VALUES ('bare', NULL, pg_current_xact_id())`)
	msg := receive(t, ch)
	msg.Metadata.Set("it", "is not nil")
	require.True(t, msg.Ack())
}

// A server that has no connection left for a while loses nothing.
//
// R5
func TestNoConnections(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(watermillsql.Config{})
	_, ch := subscribe(t, tr, "topic", 1)
	var all []*sql.Tx
	for range 14 {
		tx, err := b.db.Begin()
		require.NoError(t, err)
		all = append(all, tx)
	}
	publish(t, tr, "topic", "id")
	require.True(t, receive(t, ch).Ack())
	for _, tx := range all {
		require.NoError(t, tx.Rollback())
	}
}
