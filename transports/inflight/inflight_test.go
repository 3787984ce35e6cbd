package inflight_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/transports/inflight"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever becomes of the messages, each has one answer in the end, however
// often the broker fails to take it.
func TestEachHasOneAnswer(t *testing.T) {
	t.Parallel()
	const n = 500
	f := inflight.New[int](7, 50*time.Millisecond)
	var mu sync.Mutex
	answers, calls := map[int]string{}, 0
	tell := func(what string) func(context.Context, []int) error {
		return func(_ context.Context, keys []int) error {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls%3 == 0 {
				return errors.New("not now")
			}
			for _, k := range keys {
				require.Empty(t, answers[k], "message %d has two answers", k)
				answers[k] = what
			}
			return nil
		}
	}
	life, end := context.WithCancel(t.Context())
	var background sync.WaitGroup
	background.Go(func() {
		f.Answer(life, inflight.Broker[int]{
			Acknowledge: tell("done"), GiveBack: tell("back"), Failed: func(error) {}, Worked: func() {},
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	background.Go(func() {
		for k := 0; k < n && f.Room(ctx) > 0; k++ {
			require.True(t, f.Begin(k))
			require.False(t, f.Begin(k))
			f.Take(ctx, k, func() *message.Message { return message.NewMessage(strconv.Itoa(k), nil) })
		}
		<-ctx.Done()
		f.Close()
		f.Wait()
	})
	for i := range n / 2 {
		msg := <-f.Out()
		switch i % 5 {
		case 0:
			msg.Nack()
		case 1:
			go msg.Ack()
		default:
			msg.Ack()
		}
	}
	cancel()
	for msg := range f.Out() {
		msg.Nack()
	}
	require.Eventually(t, func() bool { return len(f.Known()) == 0 }, 20*time.Second, time.Millisecond)
	end()
	background.Wait()
	require.Zero(t, f.Room(ctx))
	require.Contains(t, answers, 1)
}
