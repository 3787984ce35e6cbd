package router_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/step"
	_ "github.com/millrace-go/millrace/transports/memory"
)

//semantics:stores memory sqlite

// A plain Watermill handler between two topics of a broker: a message that the
// producer sends twice is handled once, a failed attempt is repeated from the
// store, and what the handler returns arrives with one UUID.
//
// L4
func TestPlainHandlerOverBroker(t *testing.T) {
	for name, url := range stores {
		t.Run(name, func(t *testing.T) {
			r, err := router.New(t.Context(), router.Config{
				Store: url(t), Transport: "memory:", Policy: step.Policy{Delays: []time.Duration{time.Millisecond}},
			})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, r.Close()) })
			sub, err := r.Transport().Subscriber(1)
			require.NoError(t, err)
			results, err := sub.Subscribe(t.Context(), "results")
			require.NoError(t, err)

			var calls atomic.Int32
			r.AddHandler("double", "orders", "results", func(msg *message.Message) ([]*message.Message, error) {
				if calls.Add(1) == 1 {
					return nil, errors.New("not yet")
				}
				return []*message.Message{message.NewMessage("out-"+msg.UUID, append(msg.Payload, msg.Payload...))}, nil
			})
			run(t, r)
			<-r.Running()
			pub, err := r.Transport().Publisher()
			require.NoError(t, err)
			for range 2 {
				require.NoError(t, pub.Publish("orders", message.NewMessage("7", []byte("ab"))))
			}
			require.NoError(t, pub.Publish("orders", message.NewMessage("8", []byte("cd"))))

			got := map[string]string{}
			for len(got) < 2 {
				msg := <-results
				got[msg.UUID] = string(msg.Payload)
				msg.Ack()
			}
			require.Equal(t, map[string]string{"out-7": "abab", "out-8": "cdcd"}, got)
			require.EqualValues(t, 3, calls.Load())
		})
	}
}
