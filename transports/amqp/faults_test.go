package amqp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/amqp"
)

// patience is how long something that must happen may take.
const patience = 60 * time.Second

// journal keeps what is logged.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler           { return j }
func (j *journal) WithGroup(string) slog.Handler                { return j }
func (j *journal) Handle(_ context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, r.Level.String()+" "+r.Message)
	return nil
}

func (j *journal) said(text string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// load publishes batches until it is told to stop, whatever fails, and
// receives at the same time. It knows what was confirmed and what came.
type load struct {
	t     testing.TB
	tr    transports.Transport
	topic string

	stop context.CancelFunc
	all  sync.WaitGroup

	mu        sync.Mutex
	confirmed map[string]bool
	came      map[string]bool
	failures  []error
	bell      chan struct{}
}

func startLoad(t testing.TB, tr transports.Transport, topic string) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{
		t: t, tr: tr, topic: topic, stop: stop,
		confirmed: map[string]bool{}, came: map[string]bool{}, bell: make(chan struct{}, 1),
	}
	pub, err := tr.Publisher()
	require.NoError(t, err)
	sub, err := tr.Subscriber(50)
	require.NoError(t, err)
	msgs, err := sub.Subscribe(context.Background(), topic)
	require.NoError(t, err)
	for range 3 {
		l.all.Go(func() { l.publish(ctx, pub.(transports.BatchPublisher)) })
	}
	l.all.Go(func() {
		for msg := range msgs {
			l.note(&l.came, msg.UUID)
			msg.Ack()
		}
	})
	t.Cleanup(func() {
		stop()
		_ = sub.Close()
		l.all.Wait()
	})
	return l
}

func (l *load) publish(ctx context.Context, pub transports.BatchPublisher) {
	for ctx.Err() == nil {
		msgs := publications(l.topic, 20)
		within, cancel := context.WithTimeout(ctx, 20*time.Second)
		err := pub.PublishBatch(within, msgs)
		cancel()
		if err != nil {
			l.mu.Lock()
			l.failures = append(l.failures, err)
			l.mu.Unlock()
			continue
		}
		for _, m := range msgs {
			l.note(&l.confirmed, m.UUID)
		}
	}
}

func (l *load) note(set *map[string]bool, id string) {
	l.mu.Lock()
	(*set)[id] = true
	l.mu.Unlock()
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

// until waits until a condition holds, looked at when something was noted.
func (l *load) until(what string, holds func() bool) {
	l.t.Helper()
	deadline := time.After(patience)
	for {
		l.mu.Lock()
		ok := holds()
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-l.bell:
		case <-deadline:
			require.FailNow(l.t, "waited in vain until "+what, "%d confirmed, %d came, failures %v", len(l.confirmed), len(l.came), l.failures)
		}
	}
}

// moves waits until so many more messages were confirmed and have come.
func (l *load) moves(n int) {
	l.t.Helper()
	l.mu.Lock()
	confirmed, came := len(l.confirmed), len(l.came)
	l.mu.Unlock()
	l.until(fmt.Sprintf("%d more messages have passed", n), func() bool {
		return len(l.confirmed) >= confirmed+n && len(l.came) >= came+n
	})
}

// settle ends publishing and waits until all that was confirmed has come.
func (l *load) settle() {
	l.t.Helper()
	l.stop()
	l.until("what was confirmed has come", func() bool {
		for id := range l.confirmed {
			if !l.came[id] {
				return false
			}
		}
		return true
	})
}

// A server that is killed under load, and comes back, has lost nothing that it
// confirmed; work goes on by itself, with one line about each end.
//
// R5
func TestServerKilledUnderLoad(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			server := servers.StartAMQP(t)
			log := &journal{}
			tr := open(t, amqp.Config{URL: server.URL(), Queue: kind, Log: slog.New(log), Patience: time.Second})
			l := startLoad(t, tr, "killed")
			l.moves(2000)
			settleQueue(t, kind)
			l.moves(1000)
			server.Kill()
			require.Eventually(t, func() bool { return log.said("lost") == 1 }, patience, 10*time.Millisecond)
			_, err := tr.Backlog(t.Context(), "killed")
			require.ErrorIs(t, err, amqp.ErrDisconnected)
			server.Start()
			l.moves(1000)
			l.settle()
			require.Equal(t, 1, log.said("lost"), log.lines)
			require.Equal(t, 1, log.said("connected to the AMQP server again"), log.lines)
			for _, err := range l.failures {
				require.True(t, errors.Is(err, amqp.ErrDisconnected) || errors.Is(err, amqp.ErrNotConfirmed) || errors.Is(err, context.Canceled), err)
			}
		})
	}
}

// A queue that is deleted under load is made again by whoever comes first, and
// what the server confirms after that arrives.
//
// M11
func TestQueueDeletedUnderLoad(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			server := servers.AMQP(t)
			topic := "deleted-" + watermill.NewShortUUID()
			l := startLoad(t, open(t, amqp.Config{URL: server, Queue: kind}), topic)
			for range 3 {
				l.moves(500)
				deleteQueue(t, server, topic)
			}
			l.moves(500)
			l.settleAfter(500)
		})
	}
}

// settleAfter ends publishing after n more messages, all of which come.
func (l *load) settleAfter(n int) {
	l.t.Helper()
	l.mu.Lock()
	l.confirmed = map[string]bool{}
	l.mu.Unlock()
	l.until("more is confirmed", func() bool { return len(l.confirmed) >= n })
	l.settle()
}

// Publishing to a queue that nobody consumes, and that was deleted, makes it
// again: nothing is confirmed that no queue has.
//
// M11
func TestUnroutableIsPublishedAgain(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			server := servers.AMQP(t)
			topics := []string{"gone-a-" + watermill.NewShortUUID(), "gone-b-" + watermill.NewShortUUID()}
			tr := open(t, amqp.Config{URL: server, Queue: kind, Window: 10})
			pub := batchPublisher(t, tr)
			for range 2 {
				msgs := slices.Concat(publications(topics[0], 30), publications(topics[1], 30), publications(topics[0], 30))
				require.NoError(t, pub.PublishBatch(t.Context(), msgs))
				for topic, want := range map[string]int{topics[0]: 60, topics[1]: 30} {
					n, err := tr.Backlog(t.Context(), topic)
					require.NoError(t, err)
					require.Equal(t, want, n)
				}
				deleteQueue(t, server, topics[0])
				deleteQueue(t, server, topics[1])
			}
			n, err := tr.Backlog(t.Context(), topics[0])
			require.NoError(t, err)
			require.Zero(t, n)
		})
	}
}

// A full queue refuses; that is an error, and the next batch goes on.
func TestRefusedIsAnError(t *testing.T) {
	server := servers.AMQP(t)
	topic := "full-" + watermill.NewShortUUID()
	raw := connect(t, server)
	_, err := raw.QueueDeclare(topic, true, false, false, false, map[string]any{"x-max-length": 1, "x-overflow": "reject-publish"})
	require.NoError(t, err)
	tr := open(t, amqp.Config{URL: server})
	pub := batchPublisher(t, tr)
	err = pub.PublishBatch(t.Context(), publications(topic, 100))
	require.ErrorIs(t, err, amqp.ErrNotConfirmed)
	require.ErrorContains(t, err, "refused 99 messages")
	require.NoError(t, pub.PublishBatch(t.Context(), publications(topic+"-other", 100)))
	require.ErrorIs(t, pub.Publish(topic, message.NewMessage("id", nil)), amqp.ErrNotConfirmed)
}

// One queue that can't be made keeps no message for others.
//
// R6
func TestQueueThatCannotBeMade(t *testing.T) {
	server := servers.AMQP(t)
	taken, free := "taken-"+watermill.NewShortUUID(), "free-"+watermill.NewShortUUID()
	_, err := connect(t, server).QueueDeclare(taken, false, false, true, false, nil) // for that connection only
	require.NoError(t, err)
	tr := open(t, amqp.Config{URL: server})
	err = batchPublisher(t, tr).PublishBatch(t.Context(), slices.Concat(publications(taken, 2), publications(free, 3)))
	require.ErrorContains(t, err, taken)
	n, err := tr.Backlog(t.Context(), free)
	require.NoError(t, err)
	require.Equal(t, 3, n)
}

// settleQueue waits until a quorum queue has written down its members: one
// that is younger when its server is killed has no leader afterwards.
func settleQueue(t testing.TB, kind amqp.Kind) {
	if kind != amqp.Quorum {
		return
	}
	settled := time.NewTimer(6 * time.Second)
	defer settled.Stop()
	select {
	case <-settled.C:
	case <-t.Context().Done():
	}
}

// A queue without a leader answers nothing: that is an error after a while,
// uses up nothing, and keeps nobody from closing.
func TestQueueWithoutLeader(t *testing.T) {
	t.Parallel()
	server := servers.StartAMQP(t)
	tr, err := amqp.Open(t.Context(), amqp.Config{URL: server.URL(), Drain: time.Millisecond})
	require.NoError(t, err)
	pub := batchPublisher(t, tr)
	msgs := subscribe(t, tr, "orphan", 10)
	require.NoError(t, pub.PublishBatch(t.Context(), []store.Publication{{Topic: "orphan", UUID: "1"}}))
	receive(t, msgs).Ack()
	server.Kill()
	server.Start()
	plain, err := tr.Publisher()
	require.NoError(t, err)
	require.Eventually(t, func() bool { // it waits a while for the connection
		return plain.Publish("connected", message.NewMessage("0", nil)) == nil
	}, patience, time.Millisecond)
	within, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err = pub.PublishBatch(within, []store.Publication{{Topic: "orphan", UUID: "2"}})
	t.Log("a young queue after a crash:", err)
	require.NoError(t, pub.PublishBatch(t.Context(), []store.Publication{{Topic: "healthy", UUID: "3"}}))
	receive(t, subscribe(t, tr, "healthy", 1)).Ack()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = tr.Close()
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		panic("can't be closed")
	}
}
