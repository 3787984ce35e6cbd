package redisstream_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/redisstream"
)

// What a process had received when it died comes to another, and the dead
// consumer leaves the group. What a living one has in flight, for much longer
// than that, stays its own.
//
// M3
func TestCrashOfAConsumer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const after = 200 * time.Millisecond
	alive := b.open(redisstream.Config{ClaimAfter: after})
	_, ch := subscribe(t, alive, "topic", 1)
	publish(t, alive, "topic", "long")
	long := receive(t, ch)

	publish(t, alive, "topic", "orphan")
	died, err := b.client.XReadGroup(t.Context(), &redis.XReadGroupArgs{
		Group: "millrace", Consumer: "millrace-dead", Streams: []string{b.prefix + "topic", ">"}, Count: 1,
	}).Result()
	require.NoError(t, err)
	require.Len(t, died[0].Messages, 1)
	death := time.Now()

	_, other := subscribe(t, b.open(redisstream.Config{ClaimAfter: after}), "topic", 5)
	msg := receive(t, other)
	require.Equal(t, "orphan", msg.UUID)
	require.Greater(t, time.Since(death), after*9/10)
	msg.Ack()
	require.Eventually(t, func() bool {
		all, err := b.client.XInfoConsumers(t.Context(), b.prefix+"topic", "millrace").Result()
		return err == nil && len(all) == 2
	}, patience, 5*time.Millisecond, "the dead consumer is gone")
	select {
	case msg := <-other:
		require.Fail(t, "a message in flight was claimed", msg.UUID)
	default:
	}
	require.True(t, long.Ack())
}

// A process that was cut off for longer than Config.ClaimAfter keeps nothing
// that others took over, and gives nothing of theirs back.
//
// M5
func TestClaimedMessagesAreNotTakenBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tr := b.open(redisstream.Config{ClaimAfter: time.Hour, Drain: time.Millisecond})
	sub, ch := subscribe(t, tr, "topic", 1)
	publish(t, tr, "topic", "id")
	receive(t, ch)
	stream := b.prefix + "topic"
	pending, err := b.client.XPendingExt(t.Context(), &redis.XPendingExtArgs{Stream: stream, Group: "millrace", Start: "-", End: "+", Count: 10}).Result()
	require.NoError(t, err)
	require.Len(t, pending, 1)
	require.NoError(t, b.client.XClaim(t.Context(), &redis.XClaimArgs{
		Stream: stream, Group: "millrace", Consumer: "other", Messages: []string{pending[0].ID},
	}).Err())
	require.NoError(t, sub.Close())
	after, err := b.client.XPendingExt(t.Context(), &redis.XPendingExtArgs{Stream: stream, Group: "millrace", Start: "-", End: "+", Count: 10}).Result()
	require.NoError(t, err)
	require.Len(t, after, 1)
	require.Equal(t, pending[0].ID, after[0].ID)
	require.Equal(t, "other", after[0].Consumer)
}

// feed publishes messages 0, 1 and so on until stop is closed, and returns how
// many it published. A message that fails is tried again.
func feed(t *testing.T, tr transports.Transport, topic string, stop <-chan struct{}) (published func() int) {
	pub, err := tr.Publisher()
	require.NoError(t, err)
	n, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			batch := make([]store.Publication, 10)
			for i := range batch {
				batch[i] = store.Publication{Topic: topic, UUID: fmt.Sprint(n + i)}
			}
			if pub.(transports.BatchPublisher).PublishBatch(context.Background(), batch) == nil {
				n += len(batch)
			}
		}
	}()
	return func() int {
		<-done
		return n
	}
}

// Streams that are deleted under load are made again, with one warning each
// time, and what is published afterwards arrives.
//
// M11
func TestStreamDeletedUnderLoad(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	said := &notes{}
	tr := b.open(redisstream.Config{Log: said.log()})
	_, a := subscribe(t, tr, "topic", 5)
	_, c := subscribe(t, tr, "topic", 5)
	stop := make(chan struct{})
	published := feed(t, tr, "topic", stop)
	const times = 5
	for i := range times {
		for range 50 {
			for _, ch := range []<-chan *message.Message{a, c} {
				receive(t, ch).Ack()
			}
		}
		require.NoError(t, b.client.Del(t.Context(), b.prefix+"topic").Err())
		for flushed := false; !flushed; { // what was read before goes on
			select {
			case msg := <-a:
				msg.Ack()
			case msg := <-c:
				msg.Ack()
			default:
				flushed = len(said.lines("was deleted")) > i
			}
		}
	}
	close(stop)
	published()
	require.Len(t, said.lines("was deleted"), times)
	publish(t, tr, "topic", "last")
	for last := false; !last; {
		select {
		case msg := <-a:
			last = msg.UUID == "last"
			msg.Ack()
		case msg := <-c:
			last = msg.UUID == "last"
			msg.Ack()
		case <-time.After(patience):
			require.FailNow(t, "the last message did not come")
		}
	}
}

// Connections that are cut while answers are under way lose nothing and keep
// nothing back: what such an answer held comes without having to be claimed.
func TestConnectionsCutUnderLoad(t *testing.T) {
	t.Parallel()
	server := servers.StartRedis(t)
	b := benchOn(t, server.URL())
	tr := b.open(redisstream.Config{ClaimAfter: time.Hour})
	_, ch := subscribe(t, tr, "topic", 10)
	stop, ended := make(chan struct{}), make(chan struct{})
	published := feed(t, tr, "topic", stop)
	go func() {
		defer close(ended)
		for range 30 {
			_ = b.client.ClientKillByFilter(context.Background(), "TYPE", "normal", "SKIPME", "yes").Err()
			pause := time.NewTimer(10 * time.Millisecond)
			<-pause.C
		}
		close(stop)
	}()
	seen := map[string]bool{}
	for running := true; running; {
		select {
		case msg := <-ch:
			seen[msg.UUID] = true
			msg.Ack()
		case <-ended:
			running = false
		}
	}
	n := published()
	t.Logf("%d messages", n)
	for len(seen) < n {
		msg := receive(t, ch)
		seen[msg.UUID] = true
		msg.Ack()
	}
	require.Eventually(t, func() bool {
		select {
		case msg := <-ch:
			msg.Ack()
		default:
		}
		return b.client.XLen(t.Context(), b.prefix+"topic").Val() == 0
	}, patience, time.Millisecond)
}

// A server that goes away is waited for: one warning, one line when it is
// back, and what was acknowledged meanwhile does not come again.
//
// R5
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	server := servers.StartRedis(t)
	b := benchOn(t, server.URL())
	said := &notes{}
	tr := b.open(redisstream.Config{Log: said.log(), ClaimAfter: time.Second})
	_, ch := subscribe(t, tr, "topic", 2)
	_, idle := subscribe(t, tr, "idle", 2)
	for round := 1; round <= 2; round++ {
		publish(t, tr, "topic", "a", "b", "c")
		first, second := receive(t, ch), receive(t, ch)
		server.Kill()
		require.True(t, first.Ack())
		require.Eventually(t, func() bool { return len(said.lines("level=INFO", "lost the Redis server")) == round }, patience, time.Millisecond)
		pub, err := tr.Publisher()
		require.NoError(t, err)
		require.Error(t, pub.Publish("topic", message.NewMessage("x", nil)))
		server.Start()
		require.True(t, second.Ack())
		third := receive(t, ch)
		require.Equal(t, "c", third.UUID)
		require.True(t, third.Ack())
		require.Eventually(t, func() bool { return pub.Publish("idle", message.NewMessage("d", nil)) == nil }, patience, time.Millisecond)
		require.True(t, receive(t, idle).Ack())
		require.Eventually(t, func() bool { return b.client.XLen(t.Context(), b.prefix+"topic").Val() == 0 }, patience, time.Millisecond)
		require.Eventually(t, func() bool { return len(said.lines("level=INFO", "is back")) == round }, patience, time.Millisecond)
		require.Len(t, said.lines("level=INFO", "is back"), round)
	}
	require.Len(t, said.lines("level=INFO", "lost the Redis server"), 2)
	require.NoError(t, tr.Close())
	b.settled()
}

// Closing does not wait for a server that is gone longer than it must.
//
// L1
func TestCloseWithoutServer(t *testing.T) {
	t.Parallel()
	server := servers.StartRedis(t)
	b := benchOn(t, server.URL())
	tr := b.open(redisstream.Config{Drain: time.Second})
	_, ch := subscribe(t, tr, "topic", 2)
	publish(t, tr, "topic", "a")
	msg := receive(t, ch)
	server.Kill()
	msg.Ack()
	begun := time.Now()
	require.NoError(t, tr.Close())
	require.Less(t, time.Since(begun), 15*time.Second)
}

// A server that can't be used is told at once, in one line.
//
// L1
func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, deaf.Close()) })
	begun := time.Now()
	_, err = transports.Open(t.Context(), "redis://user:secret@"+deaf.Addr().String())
	require.ErrorContains(t, err, "no Redis server answers at "+deaf.Addr().String())
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.NotContains(t, err.Error(), "secret")
	require.NotContains(t, err.Error(), "\n")
	require.Less(t, time.Since(begun), 5*time.Second)

	evicting := servers.StartRedis(t, "maxmemory-policy allkeys-lru")
	_, err = transports.Open(t.Context(), evicting.URL())
	require.ErrorContains(t, err, "maxmemory-policy allkeys-lru, which deletes messages")
	b := benchOn(t, evicting.URL())
	require.NoError(t, b.client.ConfigSet(t.Context(), "requirepass", "other").Err())
	_, err = transports.Open(t.Context(), "redis://:secret@"+evicting.Addr())
	require.ErrorContains(t, err, "refuses: WRONGPASS")
	require.NotContains(t, err.Error(), "secret")
	require.NotErrorIs(t, err, store.ErrUnavailable)
}

// What a crash of the server costs is said at opening.
func TestDurabilityIsSaid(t *testing.T) {
	t.Parallel()
	for want, settings := range map[string][]string{
		"level=INFO survive":     nil,
		"level=WARN last second": {"appendfsync everysec"},
		"level=WARN not written": {"appendfsync no"},
		"level=WARN loses":       {"appendonly no"},
	} {
		b := benchOn(t, servers.StartRedis(t, settings...).URL())
		said := &notes{}
		b.open(redisstream.Config{Log: said.log()})
		require.Len(t, said.lines(want[:10], want[11:]), 1, want)
	}
}
