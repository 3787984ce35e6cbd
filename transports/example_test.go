package transports_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	_ "github.com/millrace-go/millrace/store/memory"
	"github.com/millrace-go/millrace/transports"
)

// channels is a transport as another module would bring it: topics are Go
// channels. Such a module calls transports.Register from its init, and programs
// link it by import; transporttest.Run says what it still does wrong.
type channels struct {
	mu     sync.Mutex
	topics map[string]chan *message.Message
	closed chan struct{}
	close  func()
}

func openChannels(_ context.Context, u *url.URL) (transports.Transport, error) {
	if u.Opaque != "" || u.Host != "" {
		return nil, fmt.Errorf("the URL must be %q", u.Scheme+":")
	}
	c := &channels{topics: map[string]chan *message.Message{}, closed: make(chan struct{})}
	c.close = sync.OnceFunc(func() { close(c.closed) })
	return c, nil
}

func (c *channels) topic(name string) chan *message.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.topics[name] == nil {
		c.topics[name] = make(chan *message.Message, 1000)
	}
	return c.topics[name]
}

func (c *channels) Publisher() (message.Publisher, error) { return channelPublisher{c}, nil }

func (c *channels) Subscriber(concurrency int) (message.Subscriber, error) {
	return &channelSubscriber{c: c, slots: make(chan struct{}, concurrency)}, nil
}

func (c *channels) Close() error { c.close(); return nil }

type channelPublisher struct{ c *channels }

func (p channelPublisher) Publish(topic string, msgs ...*message.Message) error {
	for _, msg := range msgs {
		select {
		case p.c.topic(topic) <- msg.Copy():
		case <-p.c.closed:
			return errors.New("channels are closed")
		}
	}
	return nil
}

func (p channelPublisher) Close() error { return nil }

type channelSubscriber struct {
	c     *channels
	slots chan struct{}
	all   sync.WaitGroup
}

func (s *channelSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, out := s.c.topic(topic), make(chan *message.Message)
	s.all.Go(func() {
		var under sync.WaitGroup
		defer close(out)
		defer under.Wait()
		for s.free(ctx) {
			select {
			case msg := <-in:
				under.Go(func() { s.deliver(ctx, in, out, msg) })
			case <-s.c.closed:
				return
			case <-ctx.Done():
				return
			}
		}
	})
	return out, nil
}

// free waits until one more may be in flight.
func (s *channelSubscriber) free(ctx context.Context) bool {
	select {
	case s.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// deliver puts a message back unless it is acknowledged.
func (s *channelSubscriber) deliver(ctx context.Context, in, out chan *message.Message, msg *message.Message) {
	defer func() { <-s.slots }()
	given := msg.Copy()
	select {
	case out <- given:
	case <-ctx.Done():
		in <- msg
		return
	}
	select {
	case <-given.Acked():
	case <-given.Nacked():
		in <- msg
	case <-ctx.Done(): // what is lost here, the store publishes again
	}
}

func (s *channelSubscriber) Close() error { s.all.Wait(); return nil }

// A transport of another module is registered under a URL scheme, and named by
// the configuration like any other.
func ExampleRegister() {
	transports.Register("channels", openChannels)

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
