package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// waker calls Wake again and again, and says when it returns.
func waker(t *testing.T, s *Store) <-chan struct{} {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	woken, ended := make(chan struct{}, 100), make(chan struct{})
	go func() {
		defer close(ended)
		for s.Wake(ctx) == nil {
			woken <- struct{}{}
		}
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return woken
}

func heard(t *testing.T, woken <-chan struct{}) {
	t.Helper()
	select {
	case <-woken:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody woke it")
	}
}

func put(t *testing.T, s *Store, topic string, due store.Instant) {
	t.Helper()
	require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		if due > 0 {
			due += snap.Now
		}
		return &store.Changes{Seqs: 1, PutMessages: []*store.Message{{Seq: snap.NextSeq, Topic: topic, Due: due}}}
	}))
}

// A process that found nothing is woken by another that frees something for it,
// and by nothing else.
func TestWake(t *testing.T) {
	all := handles(t, 2)
	sleeper, other := all[0], all[1]
	w, err := sleeper.Beat(t.Context(), store.Beat{Lease: time.Hour})
	require.NoError(t, err)
	woken := waker(t, sleeper)
	heard(t, woken) // it listens
	grab := func(want int) store.Grabbed {
		got, err := sleeper.Grab(t.Context(), store.Grab{Worker: w.Key, Topics: []string{"q"}, Limit: 10})
		require.NoError(t, err)
		require.Len(t, got.Messages, want)
		return got
	}
	grab(0)
	heard(t, woken) // it said so, and looks once more
	grab(0)

	put(t, other, "elsewhere", 0)
	require.Equal(t, 1, asleep(t, other))
	put(t, other, "q", 0)
	heard(t, woken)
	require.Zero(t, asleep(t, other))
	grab(1)
	heard(t, woken)

	put(t, other, "q", store.Instant(time.Hour.Microseconds()))
	heard(t, woken) // it is to know when
	require.NotZero(t, grab(0).Next)
	heard(t, woken)
	put(t, other, "q", store.Instant(2*time.Hour.Microseconds()))
	require.Equal(t, 1, asleep(t, other), "it looks by itself before that")

	tx, err := other.DB().Begin()
	require.NoError(t, err)
	require.NoError(t, other.CommitTx(t.Context(), tx, store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		return &store.Changes{Seqs: 1, PutMessages: []*store.Message{{Seq: snap.NextSeq, Topic: "q"}}}
	}))
	require.NoError(t, tx.Commit())
	heard(t, woken)
	grab(1)
	require.Empty(t, woken)
}

// asleep is how many say that they sleep.
func asleep(t *testing.T, s *Store) (n int) {
	t.Helper()
	require.NoError(t, s.DB().QueryRow("SELECT count(*) FROM millrace_asleep").Scan(&n))
	return n
}

// The ear is opened again when its connection breaks.
func TestWakeAfterBreak(t *testing.T) {
	s := handles(t, 1)[0]
	woken := waker(t, s)
	heard(t, woken)
	_, err := s.DB().Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' || $1 || '%'`, s.waking.listener)
	require.NoError(t, err)
	heard(t, woken)
	heard(t, woken)
}

// M11: what a commit publishes to a broker in the same database takes effect
// with it, whatever the types of the columns.
func TestPublish(t *testing.T) {
	s := handles(t, 1)[0]
	_, err := s.DB().Exec("CREATE TABLE outbox (topic text, meta jsonb, plain json, payload bytea, n bigint)")
	require.NoError(t, err)
	fail := false
	s.PublishBy(func(list []store.Publication) ([]store.Statement, error) {
		var out []store.Statement
		for _, p := range list {
			out = append(out, store.Statement{
				Text: "INSERT INTO outbox VALUES ($1, $2, $3, $4, $5)",
				Args: []any{p.Topic, []byte(`{"a": 1}`), []byte(`{"b": 2}`), p.Payload, 7},
			})
		}
		if fail {
			out = append(out, store.Statement{Text: "INSERT INTO nowhere VALUES (1)"})
		}
		return out, nil
	})
	raw := []byte("\x00\xff\\x41 '")
	publish := func(*store.Snapshot) *store.Changes {
		return &store.Changes{Publish: []store.Publication{{Topic: "a", Payload: raw}, {Topic: "b", Payload: raw}}}
	}
	require.NoError(t, s.Commit(t.Context(), store.Keys{}, publish))
	fail = true
	require.Error(t, s.Commit(t.Context(), store.Keys{}, publish))
	fail = false
	tx, err := s.DB().Begin()
	require.NoError(t, err)
	require.NoError(t, s.CommitTx(t.Context(), tx, store.Keys{}, publish))
	require.NoError(t, tx.Commit())

	var n, sum int
	var payload []byte
	row := s.DB().QueryRow("SELECT count(*), sum(n + (meta->>'a')::int + (plain->>'b')::int), (array_agg(payload))[1] FROM outbox")
	require.NoError(t, row.Scan(&n, &sum, &payload))
	require.Equal(t, []int{4, 40}, []int{n, sum})
	require.Equal(t, raw, payload)
}
