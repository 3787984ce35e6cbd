package redisstream_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
	redisstore "github.com/millrace-go/millrace/store/redis"
	"github.com/millrace-go/millrace/transports/redisstream"
)

// The commits of a Redis store on the same server add to the streams
// themselves: all of a commit is seen, or nothing.
//
// M4
func TestStoreOnTheSameServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(redisstream.Config{})
	var kept store.Store
	kept, err := redisstore.Open(t.Context(), b.client.Options().Addr, redisstore.Config{Prefix: b.prefix + "store", DB: b.client.Options().DB, Log: silent})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, kept.Close())
		keys := b.client.Keys(context.Background(), "{"+b.prefix+"*").Val()
		if len(keys) > 0 {
			require.NoError(t, b.client.Del(context.Background(), keys...).Err())
		}
	})
	in, err := tr.Attach(t.Context(), kept)
	require.NoError(t, err)
	require.True(t, in)
	_, ch := subscribe(t, tr, "topic", 2)
	k := store.RowKey{Kind: store.Inbox, Owner: "owner", Name: "name"}
	commit := func(ids ...string) error {
		return kept.Commit(t.Context(), store.Keys{Rows: []store.RowKey{k}}, func(*store.Snapshot) *store.Changes {
			c := &store.Changes{PutRows: []*store.Row{{RowKey: k, Body: fmt.Append(nil, ids)}}}
			for _, id := range ids {
				c.Publish = append(c.Publish, store.Publication{
					Topic: "topic", UUID: id, Payload: []byte{0, 255}, Metadata: map[string]string{"key": id},
				})
			}
			return c
		})
	}
	require.NoError(t, commit("a", "b"))
	for _, id := range []string{"a", "b"} {
		msg := receive(t, ch)
		require.Equal(t, id, msg.UUID)
		require.Equal(t, "\x00\xff", string(msg.Payload))
		require.Equal(t, id, msg.Metadata["key"])
		require.True(t, msg.Ack())
	}
}
