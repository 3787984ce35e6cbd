package transporttest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
)

// batches skips the case where publishing has no batches.
func (x *fixture) batches() transports.BatchPublisher {
	pub, ok := publisher(x, x.tr).(transports.BatchPublisher)
	if !ok {
		x.Skip("this transport publishes no batches")
	}
	return pub
}

// batch makes n messages for each of some topics, in turn.
func batch(n int, topics ...string) []store.Publication {
	var out []store.Publication
	for i := range n {
		for _, topic := range topics {
			out = append(out, store.Publication{
				Topic: topic, UUID: watermill.NewUUID(), Payload: append(every(), byte(i)),
				Metadata: map[string]string{"number": fmt.Sprint(i), "odd": "'\x00ä"},
			})
		}
	}
	return out
}

// A batch arrives whole and byte-identical, each message in its topic, also
// while others publish theirs. An empty batch is none.
//
// M7
func batchArrives(x *fixture) {
	pub := x.batches()
	topics := []string{x.topic(), x.topic(), x.topic()}
	require.NoError(x, pub.PublishBatch(x.Context(), nil))
	const callers = 4
	sent := make([][]store.Publication, callers)
	errs := make([]error, callers)
	var all sync.WaitGroup
	for c := range callers {
		sent[c] = batch(50, topics...)
		all.Go(func() { errs[c] = pub.PublishBatch(x.Context(), sent[c]) })
	}
	all.Wait()
	want := map[string]store.Publication{}
	for c := range callers {
		require.NoError(x, errs[c])
		for _, m := range sent[c] {
			want[m.UUID] = m
		}
	}
	for _, topic := range topics {
		_, ch := x.subscribe(topic, 10)
		for range 50 * callers {
			msg := x.receive(ch)
			m, known := want[msg.UUID]
			require.True(x, known)
			require.Equal(x, topic, m.Topic)
			require.True(x, bytes.Equal(m.Payload, msg.Payload))
			for k, v := range m.Metadata {
				require.Equal(x, v, msg.Metadata[k])
			}
			require.True(x, msg.Ack())
		}
		x.nothing(ch)
	}
}

// A batch whose context has ended is an error, and the next one goes on; after
// the transport's end there is none.
func batchEnds(x *fixture) {
	pub := x.batches()
	topic := x.topic()
	ended, cancel := context.WithCancel(x.Context())
	cancel()
	require.Error(x, pub.PublishBatch(ended, batch(100, topic)))
	last := batch(1, x.topic())
	require.NoError(x, pub.PublishBatch(x.Context(), last))
	_, ch := x.subscribe(last[0].Topic, 1)
	x.acknowledge(ch, map[string]bool{last[0].UUID: true})
	require.NoError(x, x.tr.Close())
	require.Error(x, pub.PublishBatch(x.Context(), batch(1, topic)))
}

// The backlog is what waits and what is in flight; that of a topic which does
// not exist is 0.
func backlog(x *fixture) {
	tr, ok := x.tr.(transports.Backlogger)
	if !ok {
		x.Skip("this transport does not tell its backlog")
	}
	topic := x.topic()
	is := func(want int) {
		x.Helper()
		var n int
		require.Eventually(x, func() bool {
			var err error
			n, err = tr.Backlog(x.Context(), topic)
			require.NoError(x, err)
			return n == want
		}, patience, 5*time.Millisecond, "a backlog of %d", want)
	}
	is(0)
	sub, ch := x.subscribe(topic, 2)
	is(0)
	x.publish(topic, 5)
	is(5)
	flying := []*message.Message{x.receive(ch), x.receive(ch)}
	is(5)
	for _, msg := range flying {
		require.True(x, msg.Ack())
	}
	for range 3 {
		require.True(x, x.receive(ch).Ack())
	}
	is(0)
	require.NoError(x, sub.Close())
	x.publish(topic, 3)
	is(3)
}

// A message that is refused each time comes after pauses that grow: nobody
// spins on it.
func nackDoesNotSpin(x *fixture) {
	topic := x.topic()
	_, ch := x.subscribe(topic, 4)
	ids := x.publish(topic, 1)
	begun := time.Now()
	for range 7 {
		msg := x.receive(ch)
		require.True(x, ids[msg.UUID])
		require.True(x, msg.Nack())
	}
	x.acknowledge(ch, ids)
	require.Greater(x, time.Since(begun), 100*time.Millisecond)
}
