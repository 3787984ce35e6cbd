package amqp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/rabbitmq/amqp091-go"
)

// naming says which queue is a topic's. The server gives a quorum queue an
// internal name of at most 255 bytes, in which the vhost stands as well.
type naming struct{ vhost, prefix string }

// queue returns the name of a topic's queue: the topic itself behind the
// prefix, if that can be one, or else its beginning and a hash.
func (n naming) queue(topic string) string {
	topic = n.prefix + topic
	if n.fits(topic) {
		return topic
	}
	sum := sha256.Sum256([]byte(topic))
	readable := strings.Map(func(r rune) rune {
		if r > ' ' && r < unicode.MaxASCII {
			return r
		}
		return '_'
	}, topic[:min(len(topic), 60)])
	return "topic." + readable + "." + hex.EncodeToString(sum[:16])
}

// parking returns the name of the queue for what can't be understood.
func (n naming) parking(topic string) string { return n.queue(topic + ".parked") }

// fits reports whether the server takes a name as it is.
func (n naming) fits(name string) bool {
	const extra = 4 // "/" counts three bytes in there, and one separates
	return name != "" && len(name) <= 255-extra-len(n.vhost) && utf8.ValidString(name) &&
		!strings.HasPrefix(name, "amq.") && strings.IndexFunc(name, unicode.IsControl) < 0
}

// queues declares queues, and remembers which ones are there.
type queues struct {
	c       Config
	publish *link

	mu   sync.Mutex
	conn *amqp091.Connection // on which they were declared
	made map[string]bool
	told map[string]bool // those of another make

	making map[place]*trial
}

// place is a queue over a link.
type place struct {
	over *link
	name string
}

// trial is a declaration under way.
type trial struct {
	done chan struct{}
	err  error
}

// declare makes a queue for publishing, unless this connection has made it.
func (q *queues) declare(ctx context.Context, name string) error {
	conn, err := q.publish.connection(ctx)
	if err != nil {
		return err
	}
	if q.knows(conn, name) {
		return nil
	}
	if err := q.make(ctx, q.publish, name); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.conn == conn {
		q.made[name] = true
	}
	return nil
}

// knows reports whether conn has made the queue. What earlier connections made
// may be gone: the server could have lost its disk.
func (q *queues) knows(conn *amqp091.Connection, name string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.conn != conn {
		q.conn, q.made = conn, map[string]bool{}
	}
	return q.made[name]
}

// forget has a queue declared again.
func (q *queues) forget(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.made, name)
}

// make declares a queue over a link. One that was made otherwise, or that we
// may use but not make, is used as it is. Who comes while the same is under
// way waits for that: a queue without a leader must not use up the channels.
func (q *queues) make(ctx context.Context, over *link, name string) error {
	t, err := q.trial(ctx, place{over, name})
	if err == nil {
		err = over.call(ctx, answering, func() error {
			<-t.done
			return t.err
		})
	}
	if err != nil {
		return fmt.Errorf("declare queue %q: %w", name, oneLine(err))
	}
	return nil
}

// trial returns the declaration of a queue that is under way, or begins one.
func (q *queues) trial(ctx context.Context, p place) (*trial, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t := q.making[p]; t != nil {
		return t, nil
	}
	t := &trial{done: make(chan struct{})}
	ctx = context.WithoutCancel(ctx) // others may join
	started := p.over.start(func() {
		err := q.try(ctx, p)
		q.mu.Lock()
		delete(q.making, p)
		q.mu.Unlock()
		t.err = err
		close(t.done)
	})
	if !started {
		return nil, ErrClosed
	}
	if q.making == nil {
		q.making = map[place]*trial{}
	}
	q.making[p] = t
	return t, nil
}

func (q *queues) try(ctx context.Context, p place) error {
	err := attempt(ctx, p.over, func(ch *amqp091.Channel) error {
		w := q.c.topology()
		err := w.TopologyBuilder.BuildTopology(ch, p.name, "", w, watermill.NopLogger{})
		if answer := answerIn(err); answer != nil {
			return answer // without the stack, which would go into logs
		}
		return err
	})
	switch {
	case answered(err, amqp091.PreconditionFailed):
		q.tell(p.name, err)
		return nil
	case answered(err, amqp091.AccessRefused) && exists(ctx, p):
		return nil
	}
	return err
}

func (q *queues) tell(name string, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.told[name] {
		return
	}
	if q.told == nil {
		q.told = map[string]bool{}
	}
	q.told[name] = true
	q.c.Log.Warn("a queue was made otherwise than configured, and is used as it is", "queue", name, "error", oneLine(err))
}

func exists(ctx context.Context, p place) bool {
	return attempt(ctx, p.over, func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclarePassive(p.name, true, false, false, false, nil)
		return err
	}) == nil
}

// answering is how long the server may take for an answer.
const answering = 10 * time.Second

// once calls f with a channel that is closed afterwards: an error of the
// server's closes it anyway.
func once(ctx context.Context, over *link, f func(*amqp091.Channel) error) error {
	return over.call(ctx, answering, func() error { return attempt(ctx, over, f) })
}

func attempt(ctx context.Context, over *link, f func(*amqp091.Channel) error) error {
	ch, err := over.channel(ctx)
	if err != nil {
		return err
	}
	defer ch.Close()
	return f(ch)
}
