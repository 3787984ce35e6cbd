package redis_test

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/redis"
)

var counter = store.RowKey{Kind: store.Counter, Name: "0"}

// increment adds one to a number in a row.
func increment(ctx context.Context, s store.Store) error {
	return s.Commit(ctx, store.Keys{Rows: []store.RowKey{counter}}, func(snap *store.Snapshot) *store.Changes {
		n := 0
		if row := snap.Rows[counter]; row != nil {
			n, _ = strconv.Atoi(string(row.Body))
		}
		return &store.Changes{PutRows: []*store.Row{{RowKey: counter, Body: []byte(strconv.Itoa(n + 1))}}}
	})
}

// count reads that number.
func count(t testing.TB, s store.Store) int {
	f, err := s.Find(t.Context(), store.Query{Rows: &store.RowQuery{Key: &counter}})
	require.NoError(t, err)
	if len(f.Rows) == 0 {
		return 0
	}
	n, err := strconv.Atoi(string(f.Rows[0].Body))
	require.NoError(t, err)
	return n
}

// F1, M4: a commit whose answer was lost is found, and has taken effect once.
func TestLostAnswer(t *testing.T) {
	p := newPlace(t, shared(t))
	w := newWire(t, p.url.String())
	s := w.through(p).open(t, store.Options{})
	defer s.Close()
	require.NoError(t, increment(t.Context(), s))
	for n := 2; n < 12; n++ {
		w.breakWith(noAnswer, "!") // which no other script is given
		require.NoError(t, increment(t.Context(), s), "it is known that it took effect")
		require.Equal(t, n, count(t, s))
	}
}

// F1, M4: a commit that did not arrive is known not to have, even if it arrives
// later.
func TestLostRequest(t *testing.T) {
	p := newPlace(t, shared(t))
	w := newWire(t, p.url.String())
	s := w.through(p).open(t, store.Options{})
	defer s.Close()
	require.NoError(t, increment(t.Context(), s))
	w.breakWith(noRequest, "!")
	err := increment(t.Context(), s)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.NotErrorIs(t, err, store.ErrUnknown)
	require.Equal(t, 1, count(t, s))

	late, err := net.Dial("tcp", p.url.Host)
	require.NoError(t, err)
	defer late.Close()
	request := <-w.late
	require.Contains(t, string(request), "evalsha")
	_, err = late.Write(request)
	require.NoError(t, err)
	answer, err := bufio.NewReader(late).ReadString('\n')
	require.NoError(t, err)
	require.NotContains(t, answer, "-", "it was carried out, and is void")
	require.Equal(t, 1, count(t, s))
	require.NoError(t, increment(t.Context(), s))
	require.Equal(t, 2, count(t, s))
}

// The server stays away: nobody knows, and calling again settles it.
func TestUnknownOutcome(t *testing.T) {
	p := newPlace(t, shared(t))
	w := newWire(t, p.url.String())
	c := w.through(p).config(store.Options{})
	c.Timeout = 200 * time.Millisecond
	s, err := redis.Open(t.Context(), w.through(p).url.Host, c)
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, increment(t.Context(), s))
	cut := make(chan struct{})
	decide := func(*store.Snapshot) *store.Changes {
		w.breakWith(noAnswer, "!")
		close(cut)
		return &store.Changes{PutRows: []*store.Row{{RowKey: counter, Body: []byte("7")}}}
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Commit(t.Context(), store.Keys{}, decide) }()
	<-cut
	require.Eventually(t, func() bool { return count(t, p.open(t, store.Options{})) == 7 }, 20*time.Second, 2*time.Millisecond)
	w.breakWith(dead, "")
	err = <-ended
	if err != nil { // it may have been settled before
		require.ErrorIs(t, err, store.ErrUnknown)
	}
	require.Error(t, increment(t.Context(), s))
	w.breakWith(healthy, "")
	require.NoError(t, increment(t.Context(), s))
	require.Equal(t, 8, count(t, s))
}

// M1, F1: on a server with appendfsync always, what was answered is there after
// it was killed.
func TestKilledServer(t *testing.T) {
	server := servers.StartRedis(t)
	p := newPlace(t, server.URL())
	s := p.open(t, store.Options{})
	defer s.Close()
	require.Equal(t, redis.Always, s.Durability())
	done := 0
	for round := range 3 {
		for range 50 {
			require.NoError(t, increment(t.Context(), s))
			done++
		}
		server.Kill()
		started := time.Now()
		require.ErrorIs(t, increment(t.Context(), s), store.ErrUnavailable)
		require.Less(t, time.Since(started), 5*time.Second)
		server.Start()
		require.Equal(t, done, count(t, s), "round %d", round)
	}
	require.NoError(t, increment(t.Context(), s))
}

// Out of memory, a commit is refused whole, and what gives memory back goes on.
func TestOutOfMemory(t *testing.T) {
	server := servers.StartRedis(t)
	p := newPlace(t, server.URL())
	s := p.open(t, store.Options{})
	defer s.Close()
	b, err := s.Beat(t.Context(), store.Beat{Lease: time.Minute})
	require.NoError(t, err)
	require.NoError(t, increment(t.Context(), s))
	require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(*store.Snapshot) *store.Changes {
		return &store.Changes{PutRows: []*store.Row{{RowKey: store.RowKey{Kind: store.Inbox, Owner: "o", Name: "n"}, Until: 1}}}
	}))
	c := p.client(t)
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "1").Err())
	for range 3 {
		require.ErrorIs(t, fill(t.Context(), s), store.ErrUnavailable)
		require.Equal(t, 1, count(t, s), "reading goes on")
	}
	b.Key, err = keyOf(s.Beat(t.Context(), store.Beat{Worker: store.Worker{Key: b.Key}, Lease: time.Minute}))
	require.NoError(t, err)
	n, err := s.Purge(t.Context(), store.Purge{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = s.Reap(t.Context(), store.Reap{Expired: true, Limit: 10})
	require.NoError(t, err)
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "0").Err())
	require.NoError(t, fill(t.Context(), s))
	require.Equal(t, 2, count(t, s))
}

func keyOf(b store.Beaten, err error) (int64, error) { return b.Key, err }

// fill increments, and inserts messages and a run.
func fill(ctx context.Context, s store.Store) error {
	return s.Commit(ctx, store.Keys{Rows: []store.RowKey{counter}}, func(snap *store.Snapshot) *store.Changes {
		n, _ := strconv.Atoi(string(snap.Rows[counter].Body))
		return &store.Changes{
			Seqs:        2,
			PutRows:     []*store.Row{{RowKey: counter, Body: []byte(strconv.Itoa(n + 1))}},
			PutMessages: []*store.Message{{Seq: snap.NextSeq, Topic: "q", Payload: bytes.Repeat([]byte("x"), 1000)}},
			PutRuns:     []*store.Run{{Key: snap.NextSeq + 1, ID: "r", Status: store.Running}},
		}
	})
}

// A server that was emptied is not taken for the store.
func TestEmptiedServer(t *testing.T) {
	p := newPlace(t, shared(t))
	s := p.open(t, store.Options{})
	defer s.Close()
	b, err := s.Beat(t.Context(), store.Beat{Lease: time.Minute})
	require.NoError(t, err)
	require.NotEmpty(t, b.Store)
	p.clear(t)
	require.ErrorIs(t, increment(t.Context(), s), store.ErrSchema)
	_, err = s.Beat(t.Context(), store.Beat{Worker: store.Worker{Key: b.Key}})
	require.ErrorIs(t, err, store.ErrSchema)

	other := p.open(t, store.Options{})
	defer other.Close()
	require.NoError(t, increment(t.Context(), other))
	require.ErrorIs(t, increment(t.Context(), s), store.ErrSchema, "another store stands there")
}

// Numbers that went back were lost with commits: it is said, and none is given
// twice.
func TestServerThatLostCommits(t *testing.T) {
	p := newPlace(t, shared(t))
	var log bytes.Buffer
	c := p.config(store.Options{})
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	s, err := redis.Open(t.Context(), p.url.Host, c)
	require.NoError(t, err)
	defer s.Close()
	first := nextOf(t, s)
	require.NotContains(t, log.String(), "lost commits")
	require.NoError(t, p.client(t).Set(t.Context(), p.key("next"), "1", 0).Err())
	require.Eventually(t, func() bool { return nextOf(t, s) > first+1000 }, 20*time.Second, time.Millisecond)
	require.Equal(t, 1, strings.Count(log.String(), "lost commits"))
}

// nextOf uses a number.
func nextOf(t testing.TB, s store.Store) (next int64) {
	require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		next = snap.NextSeq
		return &store.Changes{Seqs: 1, PutMessages: []*store.Message{{Seq: next, Topic: "q"}}}
	}))
	return next
}
