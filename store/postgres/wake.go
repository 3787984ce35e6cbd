package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/oid"

	"github.com/millrace-go/millrace/store"
)

// waking is how processes tell each other that messages are free. A process
// whose grab left nothing behind says so in a table, and looks once more after
// that. Who commits free messages looks into the table afterwards, at most
// every few milliseconds, and notifies who sleeps. So nothing is missed, busy
// processes say nothing, and the commits that matter carry no NOTIFY, which
// would make them wait for each other.
type waking struct {
	listener string        // this process
	signal   chan struct{} // something below has changed

	mu     sync.Mutex
	hosted bool // a call of Wake tells others; without, commits do
	conn   *pq.ListenerConn
	notes  chan *pq.Notification
	free   map[string]store.Instant // topics to tell of: when the first falls due
	told   time.Time
	wanted *sleeping // to be said
	said   *sleeping // nil: nothing
}

// sleeping is what a process waits for.
type sleeping struct {
	topics []string
	next   store.Instant // when it looks by itself; 0: some day
}

func newWaking() waking {
	return waking{listener: strings.ToLower(rand.Text()), signal: make(chan struct{}, 1), free: map[string]store.Instant{}}
}

func (w *waking) raise() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// hungry notes that a grab left nothing behind. It is said once: as long as it
// stands in the table and covers what is waited for, it is true.
func (w *waking) hungry(topics []string, next, now store.Instant) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.hosted || w.said != nil && w.said.covers(topics, now) {
		return
	}
	w.wanted = &sleeping{topics: topics, next: next}
	w.raise()
}

func (s *sleeping) covers(topics []string, now store.Instant) bool {
	if s.next != 0 && s.next <= now {
		return false
	}
	for _, t := range topics {
		if !containsText(s.topics, t) {
			return false
		}
	}
	return true
}

func containsText(list []string, t string) bool {
	for _, other := range list {
		if other == t {
			return true
		}
	}
	return false
}

// freed notes that messages of topics are free.
func (w *waking) freed(topics map[string]store.Instant) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t, due := range topics {
		if old, ok := w.free[t]; !ok || due < old {
			w.free[t] = due
		}
	}
	w.raise()
}

// takeFree returns what others are to be told of, if it is time, or how long to
// wait for that; 0 when there is nothing.
func (w *waking) takeFree(every time.Duration) (topics map[string]store.Instant, later time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.free) == 0 {
		return nil, 0
	}
	if d := every - time.Since(w.told); d > 0 {
		return nil, d
	}
	topics, w.free, w.told = w.free, map[string]store.Instant{}, time.Now()
	return topics, 0
}

func (w *waking) takeWanted() *sleeping {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.wanted
	w.wanted = nil
	return s
}

func (w *waking) setSaid(s *sleeping) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = s
}

// tellOthers tells those who sleep of free messages, unless a call of Wake does
// that. That it fails is no harm: they look by themselves.
func (s *Store) tellOthers(x *session) {
	s.waking.mu.Lock()
	hosted := s.waking.hosted
	s.waking.mu.Unlock()
	if hosted {
		return
	}
	if topics, _ := s.waking.takeFree(0); topics != nil {
		_ = s.tell(x, sqlWake, topics)
	}
}

func (s *Store) tell(x executor, q *statement, topics map[string]store.Instant) error {
	names, dues := newArray(oid.T_text), newArray(oid.T_int8)
	for t, due := range topics {
		names.text(t)
		dues.integer(int64(due))
	}
	return x.query(q, nil, s.waking.listener, names, dues)
}

// Wake implements [store.Waker]: it returns when another process has freed
// messages, when some may have been missed, and when the store has just said
// that it sleeps, which calls for another look. While it is called again and
// again, it also tells others of the messages that this Store frees. One call
// at a time. Errors: store.ErrUnavailable while the server can't be reached,
// store.ErrClosed and the context's.
func (s *Store) Wake(ctx context.Context) error {
	leave, err := s.enter(ctx, "wake")
	if err != nil {
		return err
	}
	defer leave()
	return explain("wake", s.wake(ctx))
}

// pingEvery is how often a connection that hears nothing is tried.
const pingEvery = 30 * time.Second

func (s *Store) wake(ctx context.Context) error {
	w := &s.waking
	fresh, err := s.listen(ctx)
	if err != nil || fresh {
		return err
	}
	ping := time.NewTimer(pingEvery)
	defer ping.Stop()
	for {
		if slept, err := s.saySleep(ctx); err != nil || slept {
			return err
		}
		later, err := s.tellFree(ctx)
		if err != nil {
			return err
		}
		select {
		case _, open := <-w.notes:
			if !open {
				return s.deaf()
			}
			w.setSaid(nil)
			return nil
		case <-w.signal:
		case <-later:
		case <-ping.C:
			if err := w.conn.Ping(); err != nil {
				return s.deaf()
			}
			ping.Reset(pingEvery)
		case <-ctx.Done():
			s.stopWaking()
			return ctx.Err()
		}
	}
}

// listen opens the connection that hears, unless it is open.
func (s *Store) listen(ctx context.Context) (fresh bool, err error) {
	w := &s.waking
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosted = true
	if w.conn != nil {
		return false, nil
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	notes := make(chan *pq.Notification, 16)
	conn, err := pq.NewListenerConn(s.listenDSN(), notes)
	if err != nil {
		return false, err
	}
	if _, err := conn.Listen("millrace_" + w.listener); err != nil {
		_ = conn.Close()
		return false, err
	}
	w.conn, w.notes, w.said = conn, notes, nil
	return true, nil
}

// listenDSN is the connection string with the time that connecting may take.
func (s *Store) listenDSN() string {
	seconds := max(1, int(s.config.ConnectTimeout/time.Second))
	switch {
	case !strings.Contains(s.dsn, "://"):
		return fmt.Sprintf("%s connect_timeout=%d", s.dsn, seconds)
	case strings.Contains(s.dsn, "?"):
		return fmt.Sprintf("%s&connect_timeout=%d", s.dsn, seconds)
	}
	return fmt.Sprintf("%s?connect_timeout=%d", s.dsn, seconds)
}

// saySleep puts into the table what is waited for, if that is new.
func (s *Store) saySleep(ctx context.Context) (slept bool, err error) {
	want := s.waking.takeWanted()
	if want == nil {
		return false, nil
	}
	err = s.pool.with(ctx, func(x *session) error {
		return x.query(sqlSleep, nil, s.waking.listener, texts(want.topics), int64(want.next))
	})
	if err == nil {
		s.waking.setSaid(want)
	}
	return err == nil, err
}

// tellFree tells others of free messages, or returns when it is time for that.
func (s *Store) tellFree(ctx context.Context) (later <-chan time.Time, err error) {
	topics, d := s.waking.takeFree(s.config.WakeEvery)
	if topics == nil {
		if d > 0 {
			later = time.After(d)
		}
		return later, nil
	}
	return nil, s.pool.with(ctx, func(x *session) error { return s.tell(x, sqlWake, topics) })
}

// deaf drops the connection that hears, since it broke. Something may have been
// missed.
func (s *Store) deaf() error {
	w := &s.waking
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		_ = w.conn.Close() // it broke
	}
	w.conn, w.said = nil, nil
	return nil
}

// stopWaking takes back what was said, and stops to hear.
func (s *Store) stopWaking() {
	w := &s.waking
	w.mu.Lock()
	said := w.said
	w.hosted, w.wanted = false, nil
	w.mu.Unlock()
	_ = s.deaf() // always nil
	if said == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// If it fails, somebody tells nobody, once.
	_ = s.pool.with(ctx, func(x *session) error { return x.query(sqlAwake, nil, w.listener) })
}
