package step

import (
	"fmt"
	"slices"

	"github.com/millrace-go/millrace/store"
)

// Env is what a fold knows besides the snapshot.
type Env struct {
	Worker int64          // who commits
	Lane   int64          // below [OwnLanes], others for those under way at once; or one for each transaction of a caller's
	Host   string         // its host, for the attempts
	PID    int            // its process id
	Room   map[string]int // by topic: how many messages may be born held
	Keep   int            // so many of these are for what steps bring forth: runs that go on come before new ones
	Limits Limits         // with defaults
	// ScopeRetention is how long a wider scope lives after its last use.
	ScopeRetention store.Instant // a length, in microseconds
	// Retention is how long outcomes of other stores' messages are remembered.
	Retention store.Instant // a length, in microseconds

	Broker *Broker // nil: messages don't travel through one
}

// Broker is what a fold knows of the broker that messages to tasks travel
// through.
type Broker struct {
	Room   map[string]int  // by topic: how many messages it may be given
	Others int             // how many of each topic that Room does not name
	Known  map[string]bool // topics that need no row
	Served map[string]bool // topics with handlers on this store; others may be carried out on any
	Local  bool            // what the worker can run itself does not travel
	Again  store.Instant   // a length in microseconds: when what nobody took goes to the broker again, at first
}

// Fold decides what the outcomes, in their order, do to what was read. An
// outcome that can't take effect (its row is damaged, its decisions
// contradict the run) gets a verdict of its own and leaves no trace; the
// others are folded as if it were not there.
func Fold(snap *store.Snapshot, outcomes []*Outcome, env Env) (*store.Changes, *Result) {
	bad := map[int]Verdict{}
	for {
		v := newView(snap, env, len(outcomes))
		more, failed := v.foldAll(outcomes, bad)
		if failed {
			continue // without the outcomes that were found bad
		}
		if more {
			return &store.Changes{More: &v.need}, nil
		}
		c, err := v.changes()
		if err != nil { // a body that can't be encoded is a fault of this package
			panic(fmt.Sprintf("step: encode changes: %v", err))
		}
		v.conclude()
		return c, v.res
	}
}

// foldAll stops at the first outcome that is found bad, and finds none so
// once rows are missing: what an outcome that was not folded to its end has
// left behind says nothing about those after it.
func (v *view) foldAll(outcomes []*Outcome, bad map[int]Verdict) (more, failed bool) {
	for i, o := range outcomes {
		if verdict, ok := bad[i]; ok {
			v.res.Verdicts[i] = verdict
			continue
		}
		verdict, end := v.foldOne(o)
		switch err := fault(end); {
		case end == nil:
			v.res.Verdicts[i] = verdict
		case err == nil:
			more = true
		case !more:
			bad[i] = Verdict{Code: Invalid, Err: err}
			return false, true
		}
	}
	return more || v.preload(), false
}

// preload asks for the counters' row, should it not have been read. Counters
// that don't decode start again from zero: they stop nobody's work, and an
// examination of the store tells.
func (v *view) preload() (more bool) {
	key := counterKey(v.env.Worker, v.env.Lane)
	_, end := v.guard(func() Verdict {
		get[CounterRow](v, key.Kind, key.Owner, key.Name)
		return Verdict{}
	})
	if _, damaged := end.(errDamaged); damaged {
		v.setRow(key, &rowView{})
		return false
	}
	return end != nil
}

func (v *view) foldOne(o *Outcome) (Verdict, any) {
	return v.guard(func() Verdict { return v.fold(o) })
}

// fault returns what is wrong with an outcome that was not folded to its end,
// or nil if it only needs more rows.
func fault(end any) error {
	switch e := end.(type) {
	case errDamaged:
		return e.err
	case errInvalid:
		return e.err
	}
	return nil
}

// guard turns this package's own panics into values; others go on.
func (v *view) guard(f func() Verdict) (verdict Verdict, end any) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case errMore, errDamaged, errInvalid:
			end = r
		default:
			panic(r)
		}
	}()
	return f(), nil
}

func (v *view) fold(o *Outcome) Verdict {
	v.spare = 0
	if o.Message == nil {
		v.spare = v.env.Keep
	}
	switch o.Verb {
	case Begin:
		return v.begin(o.Start)
	case Insert:
		return v.insert(o)
	case Abort:
		return v.abort(o.Abort)
	case Requeue:
		return v.requeue(o.Dead)
	case Discard:
		return v.discard(o.Dead)
	}
	code := v.fence(o)
	if code == Applied && v.stored(o) {
		code = Duplicate
		v.counts.Duplicates++
	}
	if code != Applied {
		return Verdict{Code: code}
	}
	return v.foldHeld(o)
}

// fence admits only outcomes of messages that the worker still holds. Ids of
// messages at home are derived, so "no row" means that an outcome is stored.
func (v *view) fence(o *Outcome) Code {
	h := v.hold(o.Message.Seq)
	switch {
	case !h.Exists && o.Verb != Yield:
		v.counts.Duplicates++
		return Duplicate
	case !h.Exists:
		return Duplicate
	case !v.snap.Alive || h.Worker != v.env.Worker:
		return LeaseLost
	}
	return Applied
}

// stored reports whether an outcome that leaves its message with the worker
// is stored already: its commit's answer was lost.
func (v *view) stored(o *Outcome) bool {
	if o.Verb != Retry && o.Message.Kind != store.Release {
		return false
	}
	m := v.message(o.Message.Seq)
	return m.Tries != o.Message.Tries || m.Number != o.Message.Number
}

func (v *view) foldHeld(o *Outcome) Verdict {
	if o.Verb == Done { // which changes nothing of the message
		v.done(o.Message, o)
		return Verdict{Code: Applied}
	}
	m := *o.Message // the fold's own copy
	switch o.Verb {
	case Retry:
		v.retry(&m, o)
	case Reject:
		v.reject(&m, o)
	case Yield:
		v.release(&m)
	case Publish:
		v.publishAgain(&m)
	case Drop:
		v.drop(&m)
	case Internal:
		v.internal(&m)
	case Admit:
		return v.admit(o)
	case Readdress:
		v.readdress(&m, o)
	case Stage:
		v.stage(&m, o)
		return Verdict{Code: Applied, Message: &m}
	}
	return Verdict{Code: Applied}
}

// internal carries out a message that has no handler.
func (v *view) internal(m *store.Message) {
	switch m.Kind {
	case store.Tick:
		v.tick(m)
	case store.Release:
		v.releaseChunk(m)
	case store.Sweep:
		v.sweepOn(m)
	case store.Emit:
		v.emitWide(m)
	case store.Enlist:
		v.enlist(m)
	case store.Delist:
		v.delist(m)
	case store.Expire:
		v.expire(m)
	default:
		panic(fmt.Sprintf("step: message %s of kind %s has no rule", m.ID, m.Kind))
	}
}

// conclude fills in what the result can say only at the end: of messages
// that were born held and cancelled again in the same fold, nothing.
func (v *view) conclude() {
	held := v.res.Held[:0]
	for _, m := range v.res.Held {
		if now := v.messages[m.Seq]; now != nil && now.Worker == v.env.Worker {
			held = append(held, now)
		}
	}
	v.res.Held = held
	v.res.Published = slices.DeleteFunc(v.res.Published, func(m *store.Message) bool {
		return v.messages[m.Seq] != m // it went elsewhere since
	})
}
