package channels_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/stretchr/testify/require"

	_ "example.com/channels"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	_ "github.com/millrace-go/millrace/store/memory"
	"github.com/millrace-go/millrace/transports"
	"github.com/millrace-go/millrace/transports/transporttest"
)

// The suite that millrace's own transports pass.
func TestTransport(t *testing.T) {
	transporttest.Run(t, transporttest.Factory{
		Open: func(t testing.TB) transports.Transport {
			tr, err := transports.Open(context.Background(), "channels:")
			require.NoError(t, err)
			return tr
		},
		Features: tests.Features{Persistent: true},
	})
}

// A transport of another module is linked by import, and named by the
// configuration like any other.
func Example() {
	hello := saga.NewTask[string]("hello/greet")
	r, err := router.New(context.Background(), router.Config{Store: "memory:", Transport: "channels:"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	saga.Handle(r, hello, func(_ context.Context, name string) (saga.Step, error) {
		return saga.Finish("Hello, " + name + "!"), nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err = r.RunWhile(ctx, func(ctx context.Context) error {
		run, err := saga.Start(ctx, r, hello, "world")
		if err != nil {
			return err
		}
		var text string
		err = run.Result(ctx, &text)
		fmt.Println(text)
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: Hello, world!
}
