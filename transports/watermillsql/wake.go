package watermillsql

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lib/pq"

	"github.com/millrace-go/millrace/transports/link"
)

// listening is a store whose server can be listened to.
type listening interface {
	// Listen opens a connection on which the server tells what is notified on
	// a channel. It closes notes when the connection breaks. The caller closes
	// the connection.
	Listen(channel string, notes chan *pq.Notification) (*pq.ListenerConn, error)
}

// channel is what everybody listens to: schema.sql notifies it.
const channel = "millrace_watermill"

// pingEvery is how often a connection that hears nothing is tried.
const pingEvery = 30 * time.Second

// waking wakes subscriptions when there may be messages in their tables, by
// one connection for all. It is safe for concurrent use.
type waking struct {
	mu     sync.Mutex
	store  listening // nil: nobody tells
	log    *slog.Logger
	signal map[string]map[chan struct{}]bool // by table
	hears  bool                              // a connection is open
	end    context.CancelFunc                // nil: the listener does not run
	done   chan struct{}
}

func newWaking() waking { return waking{signal: map[string]map[chan struct{}]bool{}} }

func (w *waking) server(l listening, log *slog.Logger) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.store, w.log = l, log
}

// add returns a channel that holds a token when there may be messages in a
// table. The first caller starts the listener.
func (w *waking) add(table string) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	signal := make(chan struct{}, 1)
	if w.signal[table] == nil {
		w.signal[table] = map[chan struct{}]bool{}
	}
	w.signal[table][signal] = true
	if w.store != nil && w.end == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w.end, w.done = cancel, make(chan struct{})
		go func() {
			defer close(w.done)
			w.listen(ctx, w.store)
		}()
	}
	return signal
}

func (w *waking) remove(table string, signal chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.signal[table], signal)
}

// wake wakes who waits for a table, or everybody.
func (w *waking) wake(table string, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, signals := range w.signal {
		if name != table && !all {
			continue
		}
		for signal := range signals {
			select {
			case signal <- struct{}{}:
			default:
			}
		}
	}
}

func (w *waking) hearing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hears
}

func (w *waking) setHearing(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hears = on
}

// listen listens until ctx ends. While it can't, subscriptions poll.
func (w *waking) listen(ctx context.Context, s listening) {
	var pause link.Pauses
	for ctx.Err() == nil {
		notes := make(chan *pq.Notification, 64)
		conn, err := s.Listen(channel, notes)
		if err != nil {
			pause.Wait(ctx)
			continue
		}
		pause.Reset()
		w.setHearing(true)
		w.wake("", true) // something may have been missed
		w.hear(ctx, conn, notes)
		w.setHearing(false)
		_ = conn.Close()  // it broke, or is not needed
		for range notes { // it closes notes
		}
	}
}

// hear passes on what is told until the connection breaks or ctx ends.
func (w *waking) hear(ctx context.Context, conn *pq.ListenerConn, notes <-chan *pq.Notification) {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		select {
		case n, open := <-notes:
			if !open {
				return
			}
			w.wake(n.Extra, false)
		case <-ping.C:
			if conn.Ping() != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// close ends the listener.
func (w *waking) close() {
	w.mu.Lock()
	end, done := w.end, w.done
	w.mu.Unlock()
	if end != nil {
		end()
		<-done
	}
}
