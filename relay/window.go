package relay

import (
	"context"
	"maps"
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

	mu    sync.Mutex
	rooms map[string]int
	asked map[string]time.Time
}

// askAgain is how long an answer about a topic holds.
const askAgain = 100 * time.Millisecond

func (w *windows) init(cfg Config) {
	w.size = cfg.Window
	w.broker, _ = cfg.Transport.(transports.Backlogger)
	w.rooms, w.asked = map[string]int{}, map[string]time.Time{}
}

// open returns the rooms of the topics of which it is known.
func (w *windows) open() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.rooms)
}

// gave notes messages that go to the broker. It reports whether the broker
// should be asked how many are there.
func (w *windows) gave(topic string, n int) (ask bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	left, known := w.rooms[topic]
	if !known {
		left = w.size
	}
	w.rooms[topic] = left - n
	return w.due(topic)
}

// due reports whether to ask now. w.mu is held.
func (w *windows) due(topic string) bool {
	if left, known := w.rooms[topic]; !known || left > w.size/2 || time.Since(w.asked[topic]) < askAgain {
		return false
	}
	w.asked[topic] = time.Now()
	return true
}

// took notes messages that came back from the broker.
func (w *windows) took(topic string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if left, known := w.rooms[topic]; known {
		w.rooms[topic] = min(left+n, w.size)
	}
}

// ask asks the broker how much of a topic it has. An envelope there may stand
// for many messages.
func (w *windows) ask(ctx context.Context, topic string, each int) {
	waiting := 0
	if w.broker != nil {
		n, err := w.broker.Backlog(ctx, topic)
		if err != nil {
			return // whoever publishes says so
		}
		waiting = n * each
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rooms[topic] = max(w.size-waiting, 0)
}

// has reports whether a topic's window has room, and whether to ask.
func (w *windows) has(topic string) (room, ask bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	left, known := w.rooms[topic]
	return !known || left > 0, w.due(topic)
}
