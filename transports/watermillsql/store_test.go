package watermillsql_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/postgres"
	"github.com/millrace-go/millrace/transports/watermillsql"
)

// The commits of the Postgres store publish: all of a commit is seen, or
// nothing; also those in a caller's own transaction.
//
// M4, L5
func TestPostgresStore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	kept, err := postgres.Open(t.Context(), b.dsn, postgres.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kept.Close()) })
	tr, err := watermillsql.New(watermillsql.Config{Poll: time.Hour, Log: silent})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	in, err := tr.Attach(t.Context(), kept)
	require.NoError(t, err)
	require.True(t, in)
	_, ch := subscribe(t, tr, "topic", 2)
	k := store.RowKey{Kind: store.Inbox, Owner: "owner", Name: "name"}
	keys := store.Keys{Rows: []store.RowKey{k}}
	publishing := func(ids ...string) store.Decide {
		return func(*store.Snapshot) *store.Changes {
			c := &store.Changes{PutRows: []*store.Row{{RowKey: k, Body: fmt.Append(nil, ids)}}}
			for _, id := range ids {
				for _, topic := range []string{"topic", "other topic"} {
					c.Publish = append(c.Publish, store.Publication{
						Topic: topic, UUID: id, Payload: []byte{0, 255}, Metadata: map[string]string{"key": "\x00" + id},
					})
				}
			}
			return c
		}
	}
	expect := func(ids ...string) {
		for _, id := range ids {
			msg := receive(t, ch)
			require.Equal(t, id, msg.UUID)
			require.Equal(t, "\x00\xff", string(msg.Payload))
			require.Equal(t, "\x00"+id, msg.Metadata["key"])
			require.True(t, msg.Ack())
		}
	}
	require.NoError(t, kept.Commit(t.Context(), keys, publishing("a", "b", "c")))
	expect("a", "b", "c")

	for _, outcome := range []error{errors.New("no"), nil} {
		tx, err := kept.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, kept.CommitTx(t.Context(), tx, keys, publishing("d")))
		if outcome != nil {
			require.NoError(t, tx.Rollback())
		} else {
			require.NoError(t, tx.Commit())
		}
	}
	expect("d")
	n, err := tr.Backlog(t.Context(), "other topic")
	require.NoError(t, err)
	require.Equal(t, 4, n)
}
