package redis

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	client "github.com/redis/go-redis/v9"
)

// alarm is how a Store hears that other processes freed messages. Who is about
// to sleep says so on the server; the next commit that frees messages tells all
// who said so, and no other commit tells anything.
type alarm struct {
	waking sync.Mutex // held by Wake

	mu    sync.Mutex
	sub   *client.PubSub
	heard int64 // how often messages became free, as far as was told
	last  time.Time
}

const (
	// wakePause is the least time between two wake-ups; what happens meanwhile
	// makes one.
	wakePause = 2 * time.Millisecond

	// wakeCheck is how often a sleeper says again that it sleeps, and finds out
	// whether its connection is still there.
	wakeCheck = 20 * time.Second
)

// mine notes the count after a commit of this Store freed messages: nobody
// needs to be told of that. A count of 0 is none.
func (al *alarm) mine(count int64) {
	if count == 0 {
		return
	}
	al.mu.Lock()
	defer al.mu.Unlock()
	if al.heard == count-1 {
		al.heard = count
	}
}

// note takes up a count, and reports whether it is news.
func (al *alarm) note(count int64) bool {
	al.mu.Lock()
	defer al.mu.Unlock()
	if count == al.heard {
		return false
	}
	al.heard, al.last = count, time.Now()
	return true
}

// Wake implements [store.Waker]. It has a connection of its own, which it keeps
// until Close, or until ctx ends. One call at a time waits; others queue up.
// Errors: store.ErrUnavailable, store.ErrClosed and the context's.
func (s *Store) Wake(ctx context.Context) error {
	s.alarm.waking.Lock()
	defer s.alarm.waking.Unlock()
	for {
		done, err := s.wake(ctx)
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		if done || err != nil {
			return explain("wake", err)
		}
	}
}

// wake waits once; done tells whether there is something to grab.
func (s *Store) wake(ctx context.Context) (done bool, err error) {
	s.alarm.mu.Lock()
	since := time.Since(s.alarm.last)
	s.alarm.mu.Unlock()
	if since < wakePause && !wait(ctx, wakePause-since) {
		return false, ctx.Err()
	}
	sub, err := s.listen(ctx)
	if err != nil {
		return false, err
	}
	count, err := s.sleepers(ctx)
	if err != nil || s.alarm.note(count) {
		return err == nil, err
	}
	stop := context.AfterFunc(ctx, s.alarm.hangUp)
	defer stop()
	_, err = sub.ReceiveTimeout(ctx, wakeCheck)
	var network net.Error
	if errors.As(err, &network) && network.Timeout() && ctx.Err() == nil {
		return false, nil
	}
	if err != nil {
		s.alarm.hangUp()
		return false, s.whileOpen(err)
	}
	return false, nil
}

// sleepers says that this Store sleeps, and returns the count.
func (s *Store) sleepers(ctx context.Context) (int64, error) {
	leave, err := s.enter(ctx, "wake")
	if err != nil {
		return 0, err
	}
	defer leave()
	got, err := s.run(ctx, sleepScript)
	n, _ := got.(int64)
	return n, err
}

// whileOpen tells a connection that Close has cut from one that broke.
func (s *Store) whileOpen(err error) error {
	leave, closed := s.enter(context.Background(), "wake")
	if closed != nil {
		return closed
	}
	leave()
	return err
}

// listen returns the subscription, which it makes if there is none.
func (s *Store) listen(ctx context.Context) (*client.PubSub, error) {
	leave, err := s.enter(ctx, "wake")
	if err != nil {
		return nil, err
	}
	defer leave()
	s.alarm.mu.Lock()
	sub := s.alarm.sub
	s.alarm.mu.Unlock()
	if sub != nil {
		return sub, nil
	}
	sub = s.client.Subscribe(ctx, s.Key("wake"))
	if _, err := sub.Receive(ctx); err != nil {
		return nil, errors.Join(err, sub.Close())
	}
	s.alarm.mu.Lock()
	defer s.alarm.mu.Unlock()
	s.alarm.sub = sub
	return sub, nil
}

// hangUp ends the subscription, and with it who waits for it.
func (al *alarm) hangUp() {
	al.mu.Lock()
	defer al.mu.Unlock()
	if al.sub != nil {
		_ = al.sub.Close() // nothing is lost with it
		al.sub = nil
	}
}
