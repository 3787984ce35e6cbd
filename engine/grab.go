package engine

import (
	"context"
	"errors"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// grabLimit is how many messages are taken in one grab.
const grabLimit = 512

// noteFree wakes the grabber for messages that are free now, and sets its
// timer for those that fall due later.
func (e *Engine) noteFree(free []step.Wake) {
	for _, f := range free {
		if !e.queues.hosts(f.Topic) {
			continue
		}
		if f.Due == 0 || e.sooner(f.Due) {
			e.grab.raise()
		}
	}
}

// sooner reports whether the grabber would sleep beyond due.
func (e *Engine) sooner(due store.Instant) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.nextDue != 0 && e.nextDue <= due {
		return false
	}
	e.nextDue = due
	return true
}

// Nudge makes the grabber look a few times within the next second: a caller
// has put messages into a transaction of its own and is about to commit it.
func (e *Engine) Nudge() {
	e.mu.Lock()
	e.nudges = 8
	e.mu.Unlock()
	e.grab.raise()
}

// grabLoop takes free messages from the store: when something says that they
// are there, when one falls due, and now and then in case another process put
// some there.
func (e *Engine) grabLoop(ctx context.Context) {
	for try := 0; ; {
		wait, err := e.grabOnce(ctx)
		if err != nil {
			try++
			if !e.health.pause(ctx, try) {
				return
			}
			continue
		}
		try = 0
		if !sleep(ctx, e.clock, wait, e.grab) {
			return
		}
	}
}

// sleep waits for d, or the signal; false when ctx ended.
func sleep(ctx context.Context, clock clockwork.Clock, d time.Duration, s *signal) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.Chan():
	case <-s.raised():
	case <-ctx.Done():
		return false
	}
	return true
}

// grabOnce takes what there is room for and says how long to wait for more.
func (e *Engine) grabOnce(ctx context.Context) (time.Duration, error) {
	var all after
	for _, room := range []map[string]int{e.queues.room(false), e.roomAway()} {
		got, err := e.grabFor(ctx, room)
		if errors.Is(err, store.ErrLeaseLost) {
			return e.cfg.Poll, nil // the heartbeat sees to it
		}
		if err != nil {
			return 0, err
		}
		all.add(got)
	}
	return e.untilNext(all), nil
}

func (e *Engine) roomAway() map[string]int {
	if e.cfg.Relay == nil {
		return nil
	}
	return e.queues.roomAway(e.cfg.Relay.Windows)
}

// grabFor takes messages of some topics.
func (e *Engine) grabFor(ctx context.Context, room map[string]int) (got store.Grabbed, err error) {
	g := store.Grab{Worker: e.worker.Load(), Limit: grabLimit, Bytes: e.cfg.HoldBytes / 4}
	for topic, n := range room {
		g.Topics = append(g.Topics, topic)
		g.Limit = min(g.Limit, n)
	}
	if g.Worker == 0 || len(room) == 0 {
		return got, nil
	}
	defer e.flights.begin().land()
	got, err = e.store.Grab(ctx, g)
	if ctx.Err() != nil {
		e.lost.raise()
		return got, ctx.Err()
	}
	if errors.Is(err, store.ErrLeaseLost) {
		return got, err
	}
	e.health.note(err)
	if err != nil {
		e.lost.raise()
		return got, err
	}
	e.takeIn(got)
	return got, nil
}

// takeIn queues what was grabbed.
func (e *Engine) takeIn(got store.Grabbed) {
	e.heard(got.Now)
	for _, seq := range got.Damaged {
		e.log.Error("millrace: a stored message does not decode; it is left alone", "seq", seq)
	}
	e.queues.push(got.Messages, func(m *store.Message) step.Verb {
		return e.verbIn(m, got.Stopped[m.Run])
	})
}

// verbIn says how a message is carried out whose run has been stopped, or not:
// it is dropped then, unless it may have been begun on another store. That one
// is asked once more.
func (e *Engine) verbIn(m *store.Message, stopped bool) step.Verb {
	if stopped && m.Kind == store.Task && m.Undo == 0 && m.Run != 0 && !(m.Lent && e.queues.isAway(m.Topic)) {
		return step.Drop
	}
	return verbOf(m)
}

// after is what the grabber knows about the next look.
type after struct {
	now, next store.Instant
	more      bool
}

// add takes in what a grab has told.
func (a *after) add(got store.Grabbed) {
	a.now = max(a.now, got.Now)
	a.more = a.more || got.More && len(got.Messages) > 0
	if got.Next != 0 && (a.next == 0 || got.Next < a.next) {
		a.next = got.Next
	}
}

func (e *Engine) untilNext(a after) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.nextDue = a.next
	wait := e.cfg.Poll
	if e.nudges > 0 {
		e.nudges--
		wait = min(wait, (4*time.Millisecond)<<(8-e.nudges)/2)
	}
	if a.more {
		return 0
	}
	if a.next != 0 {
		wait = min(wait, max(a.next.Sub(a.now), time.Millisecond))
	}
	return wait
}

// wakeLoop raises the grabber when the store says that others freed messages.
func (e *Engine) wakeLoop(ctx context.Context, w store.Waker) {
	for try := 0; ctx.Err() == nil; {
		if err := w.Wake(ctx); err != nil {
			try++
			if !e.health.pause(ctx, try) {
				return
			}
			continue
		}
		try = 0
		e.grab.raise()
	}
}
