package watermillsql_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/memory"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/transporttest"
	"github.com/millrace-go/millrace/transports/watermillsql"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long something that must happen may take.
const patience = 20 * time.Second

// silent drops what is said.
var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// bench is a schema that only one test uses, and the part of a Postgres store
// that the transport makes use of.
type bench struct {
	store.SQL
	t         testing.TB
	dsn       string
	db        *sql.DB
	translate func([]store.Publication) ([]store.Statement, error)
}

func (b *bench) DB() *sql.DB { return b.db }

func (b *bench) PublishBy(translate func([]store.Publication) ([]store.Statement, error)) {
	b.translate = translate
}

func (b *bench) Listen(channel string, notes chan *pq.Notification) (*pq.ListenerConn, error) {
	conn, err := pq.NewListenerConn(b.dsn, notes)
	if err != nil {
		return nil, err
	}
	_, err = conn.Listen(channel)
	return conn, err
}

func newBench(t testing.TB) *bench { return benchOn(t, servers.Postgres(t)) }

func benchOn(t testing.TB, at string) *bench {
	u, err := url.Parse(at)
	require.NoError(t, err)
	schema := "wsql_" + strings.ToLower(watermill.NewULID())
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	b := &bench{t: t, dsn: u.String()}
	b.db, err = sql.Open("postgres", b.dsn)
	require.NoError(t, err)
	b.db.SetMaxOpenConns(16)
	b.db.SetMaxIdleConns(16)
	b.exec("CREATE SCHEMA " + schema)
	t.Cleanup(func() {
		_, _ = b.db.Exec("DROP SCHEMA " + schema + " CASCADE") // a server that a test has ended has none
		require.NoError(t, b.db.Close())
	})
	return b
}

func (b *bench) exec(statement string, args ...any) {
	b.t.Helper()
	_, err := b.db.Exec(statement, args...)
	require.NoError(b.t, err)
}

func (b *bench) number(query string, args ...any) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.db.QueryRow(query, args...).Scan(&n))
	return n
}

// open makes a transport in the bench.
func (b *bench) open(c watermillsql.Config) *watermillsql.Transport {
	b.t.Helper()
	if c.Log == nil {
		c.Log = silent
	}
	tr, err := watermillsql.New(c)
	require.NoError(b.t, err)
	in, err := tr.Attach(b.t.Context(), b)
	require.NoError(b.t, err)
	require.True(b.t, in)
	b.t.Cleanup(func() { require.NoError(b.t, tr.Close()) })
	return tr
}

// settled fails the test if a transport that was closed has left something
// behind.
func (b *bench) settled() {
	require.Zero(b.t, b.number("SELECT count(*) FROM millrace_watermill_leases"))
	require.Zero(b.t, b.number("SELECT count(*) FROM millrace_watermill_sleepers"))
}

func publish(t testing.TB, tr transports.Transport, topic string, ids ...string) {
	t.Helper()
	pub, err := tr.Publisher()
	require.NoError(t, err)
	for _, id := range ids {
		require.NoError(t, pub.Publish(topic, message.NewMessage(id, []byte("payload of "+id))))
	}
}

func subscribe(t testing.TB, tr transports.Transport, topic string, concurrency int) (message.Subscriber, <-chan *message.Message) {
	t.Helper()
	sub, err := tr.Subscriber(concurrency)
	require.NoError(t, err)
	ch, err := sub.Subscribe(t.Context(), topic)
	require.NoError(t, err)
	return sub, ch
}

func receive(t testing.TB, ch <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case msg, open := <-ch:
		require.True(t, open, "the subscription has ended")
		return msg
	case <-time.After(patience):
		require.FailNow(t, "no message came")
		return nil
	}
}

func TestTransport(t *testing.T) {
	benches := map[transports.Transport]*bench{}
	transporttest.Run(t, transporttest.Factory{
		Open: func(t testing.TB) transports.Transport {
			b := newBench(t)
			tr := b.open(watermillsql.Config{Drain: 100 * time.Millisecond}) // one of Watermill's tests leaves a message without an answer
			benches[tr] = b
			return tr
		},
		Features: tests.Features{Persistent: true},
		Malformed: func(_ testing.TB, tr transports.Transport, topic string) {
			for _, metadata := range []string{`[1]`, `7`, `{"a": {"b": 1}}`} {
				benches[tr].exec(`INSERT INTO "watermill_`+topic+`" (uuid, metadata, transaction_id) VALUES ('', $1, pg_current_xact_id())`, metadata)
			}
		},
		Settled: func(_ testing.TB, tr transports.Transport) { benches[tr].settled() },
	})
}

func TestURL(t *testing.T) {
	t.Parallel()
	for bad, want := range map[string]string{
		"watermill-sql://host":        "without a place",
		"watermill-sql:opaque":        "without a place",
		"watermill-sql:///path":       "without a place",
		"watermill-sql:?lease=soon":   "option lease=soon",
		"watermill-sql:?lease=-1s":    "lease is -1s",
		"watermill-sql:?poll=1us":     "poll is 1µs",
		"watermill-sql:?nonsense=10s": `unknown option "nonsense"`,
	} {
		_, err := transports.Open(t.Context(), bad)
		require.ErrorContains(t, err, want, bad)
		require.NotContains(t, err.Error(), "\n")
	}
	tr, err := transports.Open(t.Context(), "watermill-sql:?lease=1m&poll=1s&drain=1s")
	require.NoError(t, err)
	require.NoError(t, tr.Close())
}

// Only a Postgres store will do, and without one nothing works.
//
// L1
func TestAttach(t *testing.T) {
	t.Parallel()
	tr, err := watermillsql.New(watermillsql.Config{})
	require.NoError(t, err)
	pub, err := tr.Publisher()
	require.NoError(t, err)
	require.ErrorContains(t, pub.Publish("topic", message.NewMessage("id", nil)), "no store yet")
	sub, err := tr.Subscriber(1)
	require.NoError(t, err)
	_, err = sub.Subscribe(t.Context(), "topic")
	require.ErrorContains(t, err, "no store yet")
	_, err = tr.Backlog(t.Context(), "topic")
	require.ErrorContains(t, err, "no store yet")

	other := memory.Open("", store.Options{})
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	_, err = tr.Attach(t.Context(), other)
	require.ErrorContains(t, err, "works in the database of a Postgres store")
	require.NoError(t, tr.Close())
	require.ErrorContains(t, pub.Publish("topic", message.NewMessage("id", nil)), "closed")
	_, err = tr.Subscriber(1)
	require.ErrorContains(t, err, "closed")
	_, err = tr.Publisher()
	require.ErrorContains(t, err, "closed")
}

// What a commit publishes is there if and only if the commit is, and wakes who
// waits for it. A table that is missing is made by it.
//
// M4
func TestPublishingInACommit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(watermillsql.Config{Poll: time.Hour})
	_, ch := subscribe(t, tr, "known", 10)
	inCommit := func(end func(*sql.Tx) error, batch ...store.Publication) {
		tx, err := b.db.Begin()
		require.NoError(t, err)
		all, err := b.translate(batch)
		require.NoError(t, err)
		for _, st := range all {
			_, err := tx.Exec(st.Text, st.Args...)
			require.NoError(t, err)
		}
		require.NoError(t, end(tx))
	}
	pub := func(topic, id string) store.Publication { return store.Publication{Topic: topic, UUID: id} }
	inCommit((*sql.Tx).Rollback, pub("known", "never"), pub("new", "never"))
	inCommit((*sql.Tx).Commit, pub("known", "a"), pub("new", "b"), pub("known", "c"))
	for _, id := range []string{"a", "c"} {
		msg := receive(t, ch)
		require.Equal(t, id, msg.UUID)
		require.True(t, msg.Ack())
	}
	_, other := subscribe(t, tr, "new", 1)
	msg := receive(t, other)
	require.Equal(t, "b", msg.UUID)
	require.True(t, msg.Ack())
	all, err := b.translate(nil)
	require.NoError(t, err)
	require.Empty(t, all)

	require.Eventually(t, func() bool { return b.number("SELECT count(*) FROM millrace_watermill_sleepers") == 2 }, patience, time.Millisecond)
	inCommit(func(tx *sql.Tx) error {
		looks := time.NewTimer(200 * time.Millisecond) // they all look in vain meanwhile
		<-looks.C
		return tx.Commit()
	}, pub("known", "d"))
	msg = receive(t, ch)
	require.Equal(t, "d", msg.UUID)
	require.True(t, msg.Ack())
}

// A batch of any size is inserted whole; larger ones than a statement takes,
// too.
func TestLargeBatches(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(watermillsql.Config{})
	pub, err := tr.Publisher()
	require.NoError(t, err)
	batch := make([]store.Publication, 25_000)
	for i := range batch {
		batch[i] = store.Publication{Topic: "topic", UUID: fmt.Sprint(i)}
	}
	require.NoError(t, pub.(transports.BatchPublisher).PublishBatch(t.Context(), batch))
	n, err := tr.Backlog(t.Context(), "topic")
	require.NoError(t, err)
	require.Equal(t, len(batch), n)
	require.NoError(t, pub.Publish("topic"))
	_, ch := subscribe(t, tr, "topic", 1)
	for i := range 3 {
		msg := receive(t, ch)
		require.Equal(t, fmt.Sprint(i), msg.UUID)
		require.True(t, msg.Ack())
	}
	require.Eventually(t, func() bool {
		n, err := tr.Backlog(context.Background(), "topic")
		return err == nil && n == len(batch)-3
	}, patience, time.Millisecond)
}

// Topics of any name have tables of their own, and ids of any make arrive.
//
// M7
func TestNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(watermillsql.Config{})
	long := strings.Repeat("x", 45)
	topics := []string{
		long, long + "a", long + "b", strings.Repeat(long, 5), "x", "offsets_x", "X", "a b", "a_b", "ä", "ö",
		`"; DROP TABLE millrace_watermill_leases; --`, "a.b", "a$b", "\xff", strings.Repeat("ä", 40),
	}
	ids := []string{"", "short", strings.Repeat("ä", 36), strings.Repeat("i", 37), strings.Repeat("i", 1000), "with\x00NUL", "\xff\xfe"}
	for i, topic := range topics {
		for _, id := range ids {
			pub, err := tr.Publisher()
			require.NoError(t, err)
			require.NoError(t, pub.Publish(topic, message.NewMessage(id, []byte{byte(i)})))
		}
	}
	for i, topic := range topics {
		_, ch := subscribe(t, tr, topic, 1)
		for _, id := range ids {
			msg := receive(t, ch)
			require.Equal(t, []byte{byte(i)}, []byte(msg.Payload), topic)
			require.Empty(t, msg.Metadata)
			if id == "" {
				require.Contains(t, msg.UUID, topic+"/")
			} else {
				require.Equal(t, id, msg.UUID)
			}
			require.True(t, msg.Ack())
		}
	}
	require.Equal(t, len(topics)+2, b.number("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"))
}

// Many processes make tables at once.
//
// L3
func TestConcurrentCreation(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const n = 8
	errs := make(chan error, n)
	for range n {
		go func() {
			tr, err := watermillsql.New(watermillsql.Config{Log: silent})
			if err == nil {
				_, err = tr.Attach(t.Context(), &bench{db: b.db, dsn: b.dsn})
			}
			if err == nil {
				var pub message.Publisher
				pub, err = tr.Publisher()
				if err == nil {
					err = pub.Publish("topic", message.NewMessage("id", nil))
				}
			}
			errs <- err
			_ = tr.Close()
		}()
	}
	for range n {
		require.NoError(t, <-errs)
	}
	require.Equal(t, n, b.number(`SELECT count(*) FROM watermill_topic`))
}
