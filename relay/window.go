package relay

import (
	"context"
	"sync"
	"time"

	"github.com/millrace-go/millrace/transports"
)

// windows count, by topic, how many more messages the broker may be given.
// What this process gives and takes is counted as it happens. What other
// processes take, the broker is asked about once a window is half used up.
type windows struct {
	size   int
	broker transports.Backlogger // nil: it can't be asked, and windows open with time

	mu     sync.Mutex
	topics map[string]*window
}

// window is that of one topic.
type window struct {
	room  int       // how many more the broker may be given
	under int       // of those that it was given, how many are on their way
	given int       // how many it was given in all
	asked time.Time // when the broker was asked last
}

// askAgain is how long an answer about a topic holds.
const askAgain = 100 * time.Millisecond

func (w *windows) init(cfg Config) {
	w.size = cfg.Window
	w.broker, _ = cfg.Transport.(transports.Backlogger)
	w.topics = map[string]*window{}
}

// open returns what a commit may give of each topic that is known, and the
// topics that the broker is to be asked about. It is half of the room: there
// is another commit under way.
func (w *windows) open() (rooms map[string]int, others int, ask []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rooms = make(map[string]int, len(w.topics))
	for topic, x := range w.topics {
		rooms[topic] = half(x.room)
		if w.due(x) {
			ask = append(ask, topic)
		}
	}
	return rooms, half(w.size), ask
}

// half is half of a room, and all of the smallest.
func half(room int) int {
	if room == 1 {
		return 1
	}
	return room / 2
}

// of returns a topic's window. w.mu is held.
func (w *windows) of(topic string) *window {
	x := w.topics[topic]
	if x == nil {
		x = &window{room: w.size}
		w.topics[topic] = x
	}
	return x
}

// due reports whether to ask now, and if so, counts on it. w.mu is held.
func (w *windows) due(x *window) bool {
	if x.room > w.size/2 || time.Since(x.asked) < askAgain {
		return false
	}
	x.asked = time.Now()
	return true
}

// gave notes messages that go to the broker, under so many of them are not
// there yet. It reports whether the broker should be asked how many are there.
func (w *windows) gave(topic string, n, under int) (ask bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.of(topic)
	x.give(n, under)
	return w.due(x)
}

func (x *window) give(n, under int) {
	x.room -= n
	x.given += n
	x.under += under
}

// reserve gives one message, if there is room. It reports too whether to ask.
func (w *windows) reserve(topic string) (ok, ask bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.of(topic)
	if ok = x.room > 0; ok {
		x.give(1, 1)
	}
	return ok, w.due(x)
}

// arrived notes what became of messages that were on their way.
func (w *windows) arrived(topic string, n int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.of(topic)
	x.under -= n
	if !ok {
		x.room = min(x.room+n, w.size)
	}
}

// took notes messages that came back from the broker.
func (w *windows) took(topic string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x := w.topics[topic]; x != nil {
		x.room = min(x.room+n, w.size)
	}
}

// ask asks the broker how much of a topic it has. An envelope there may stand
// for several messages. It reports whether a window that was closed has opened.
func (w *windows) ask(ctx context.Context, topic string, each int) (opened bool) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	before := w.now(topic)
	waiting := 0
	if w.broker != nil {
		n, err := w.broker.Backlog(ctx, topic)
		if err != nil {
			return false // whoever publishes says so
		}
		waiting = n * each
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.of(topic)
	was := x.room
	x.room = max(w.size-waiting-before.under-(x.given-before.given), 0) // what was not there when it was asked counts too
	return was <= 0 && x.room > 0
}

func (w *windows) now(topic string) window {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *w.of(topic)
}
