package engine

import (
	"context"
	"errors"
	"time"

	"github.com/millrace-go/millrace/store"
)

// reapPiece is how many messages are looked at in one piece of a sweep for
// messages that unknown workers hold.
const reapPiece = 10_000

// register makes this process a worker.
func (e *Engine) register(ctx context.Context) error {
	b, err := e.store.Beat(ctx, store.Beat{Worker: e.me, Lease: e.cfg.Lease})
	if err != nil {
		return err
	}
	e.name.Store(&b.Store)
	e.worker.Store(b.Key)
	e.heard(b.Now)
	return nil
}

// heartLoop keeps the worker alive. When the lease was lost all the same,
// everything in memory is dropped, and the process goes on as a new worker.
// What failed is tried again soon: the lease goes on running out.
func (e *Engine) heartLoop(ctx context.Context) {
	never := newSignal()
	for wait := e.cfg.Lease / 3; sleep(ctx, e.clock, wait, never); {
		err := e.beat(ctx)
		if ctx.Err() != nil {
			return
		}
		e.health.note(err)
		if wait = e.cfg.Lease / 3; err != nil {
			wait = min(e.cfg.Lease/10, time.Second)
		}
	}
}

func (e *Engine) beat(ctx context.Context) error {
	w := e.me
	if w.Key = e.worker.Load(); w.Key == 0 { // the lease was lost, and the store was away
		return e.renew(ctx)
	}
	b, err := e.store.Beat(ctx, store.Beat{Worker: w, Lease: e.cfg.Lease})
	switch {
	case err == nil:
		e.heard(b.Now)
	case errors.Is(err, store.ErrLeaseLost):
		e.log.Warn("millrace: the lease was lost; going on as a new worker", "worker", w.Key)
		e.worker.Store(0)
		e.queues.forget()
		return e.renew(ctx)
	}
	return err
}

func (e *Engine) renew(ctx context.Context) error {
	defer e.grab.raise()
	return e.register(ctx)
}

// reapLoop closes workers that died. One of this machine is closed at once
// when its process is gone. Others when their lease has ended, and only if
// this process has been in touch with the store for a full lease without a
// gap: after an outage nobody could beat, and nobody is to be closed for it.
func (e *Engine) reapLoop(ctx context.Context) {
	never := newSignal()
	touch := e.clock.Now()
	last := touch
	for sweep := true; ; {
		now := e.clock.Now()
		if now.Sub(last) > e.cfg.Lease {
			touch = now
		}
		err := e.reapOnce(ctx, sweep, now.Sub(touch) >= e.cfg.Lease)
		if err != nil {
			e.health.note(err)
			touch = e.clock.Now()
		}
		sweep = err != nil // some may have been closed, and what they held not freed
		last = now
		if !sleep(ctx, e.clock, e.cfg.Lease/3, never) {
			return
		}
	}
}

func (e *Engine) reapOnce(ctx context.Context, sweep, expired bool) error {
	reaped, err := e.closeDead(ctx, expired)
	if err != nil {
		return err
	}
	for _, w := range reaped.Closed {
		e.log.Warn("millrace: closed a worker that died", "worker", w.Key, "host", w.Host, "pid", w.PID)
	}
	if sweep || len(reaped.Closed) > 0 {
		return e.freeAll(ctx)
	}
	return nil
}

// closeDead closes workers that died. A call that the store keeps waiting
// fails: done when the store is back, it would close those whom the same
// outage kept from beating.
func (e *Engine) closeDead(ctx context.Context, expired bool) (store.Reaped, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Lease/3)
	defer cancel()
	found, err := e.store.Find(ctx, store.Query{Workers: &store.WorkerQuery{}})
	if err != nil {
		return store.Reaped{}, err
	}
	if err := ctx.Err(); err != nil {
		return store.Reaped{}, err
	}
	e.company.Store(len(found.Workers) > 1)
	r := store.Reap{Expired: expired}
	for _, w := range found.Workers {
		if w.Key != e.worker.Load() && gone(w, e.me) {
			r.Workers = append(r.Workers, w.Key)
		}
	}
	return e.store.Reap(ctx, r)
}

// freeAll frees what unknown workers hold, in pieces.
func (e *Engine) freeAll(ctx context.Context) error {
	r := store.Reap{Limit: reapPiece}
	for {
		got, err := e.store.Reap(ctx, r)
		if err != nil {
			return err
		}
		if got.Freed > 0 {
			e.log.Info("millrace: freed messages of workers that died", "messages", got.Freed)
			e.grab.raise()
		}
		if r.After = got.Next; r.After == 0 {
			return nil
		}
	}
}
