package saga

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Step says what is to happen next. The functions of this package make steps;
// nil is one that does nothing. A step is a value: it has no effect until a
// handler returns it.
type Step interface{ decide(b *build) error }

// build turns steps into decisions.
type build struct {
	ctx       context.Context
	codec     Codec
	unit      *step.Unit
	decisions []step.Decision
	chunks    int // staged so far
}

func (b *build) add(d step.Decision) { b.decisions = append(b.decisions, d) }

func (b *build) encode(what string, v any) ([]byte, error) {
	data, err := b.codec.Marshal(v)
	if err != nil {
		return nil, &step.PermanentError{Err: fmt.Errorf("encode %s: %w", what, err)}
	}
	return data, nil
}

type steps []Step

// Do combines steps: all of them happen, or none. nil steps are left out.
func Do(s ...Step) Step { return steps(s) }

func (s steps) decide(b *build) error {
	for _, one := range s {
		if one == nil {
			continue
		}
		if err := one.decide(b); err != nil {
			return err
		}
	}
	return nil
}

// SendStep is a message to a task. Its methods return a changed copy.
type SendStep struct {
	send  step.Send
	value any
}

// Send sends v to a task. Several sends in one step run in parallel.
func Send[T any](t Task[T], v T) SendStep {
	return SendStep{send: step.Send{Task: t.name}, value: v}
}

// After makes the message due d after the commit, by the store's clock.
func (s SendStep) After(d time.Duration) SendStep { s.send.After = d; return s }

// At makes the message due at t, or at once if that is past.
func (s SendStep) At(t time.Time) SendStep { s.send.At = store.At(t); return s }

// Named gives the message a name, by which its run can [Cancel] or [Move] it
// until it is taken up. It must be unique among what the run has open.
func (s SendStep) Named(name string) SendStep { s.send.Name = name; return s }

// Priority is 0 by default; messages of a higher one go first.
func (s SendStep) Priority(p int16) SendStep { s.send.Priority = p; return s }

// Key makes messages with the same key run one at a time, in all processes.
func (s SendStep) Key(key string) SendStep { s.send.Key = key; return s }

// Away sends the message out of the run, as a job: the run does not wait for
// it, nor drop it when it ends.
func (s SendStep) Away() SendStep { s.send.Away = true; return s }

// Meta adds metadata that travels with the message.
func (s SendStep) Meta(key, value string) SendStep {
	meta := map[string]string{key: value}
	for k, v := range s.send.Meta {
		if k != key {
			meta[k] = v
		}
	}
	s.send.Meta = meta
	return s
}

func (s SendStep) decide(b *build) error {
	send, err := s.build(b)
	if err == nil {
		b.add(send)
	}
	return err
}

func (s SendStep) build(b *build) (step.Send, error) {
	send := s.send
	var err error
	send.Payload, err = b.encode("the message to "+send.Task, s.value)
	return send, err
}

// stageAt is how many sends of a fork go into one staged chunk; forks up to
// that size are stored in the step's own commit.
const stageAt = 500

// ForkStep is a set of parallel messages to one task that a [Join] by
// [AllOf] can wait for. It belongs to one step.
type ForkStep[T any] struct {
	task  Task[T]
	items iter.Seq[T]
	fork  *step.Fork
}

// Fork sends each of the items to a task, in parallel.
func Fork[T any](t Task[T], items ...T) *ForkStep[T] {
	return ForkSeq(t, func(yield func(T) bool) {
		for _, v := range items {
			if !yield(v) {
				return
			}
		}
	})
}

// ForkSeq is [Fork] over a sequence, which may be longer than memory: it is
// put aside in chunks that nobody sees before the step's commit. In a step of a
// run that lives in another store, a fork of more than 500 is a permanent error.
func ForkSeq[T any](t Task[T], items iter.Seq[T]) *ForkStep[T] {
	return &ForkStep[T]{task: t, items: items, fork: &step.Fork{}}
}

func (f *ForkStep[T]) decide(b *build) error {
	*f.fork = step.Fork{First: b.chunks}
	var chunk []step.Send
	flush := func() error {
		if err := b.unit.Stage(b.ctx, b.chunks, chunk); err != nil {
			return err
		}
		b.chunks++
		f.fork.Chunks++
		f.fork.Staged += len(chunk)
		chunk = nil
		return nil
	}
	for v := range f.items {
		if len(chunk) == stageAt {
			if err := flush(); err != nil {
				return err
			}
		}
		send, err := Send(f.task, v).build(b)
		if err != nil {
			return err
		}
		chunk = append(chunk, send)
	}
	if f.fork.Chunks > 0 && len(chunk) > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	f.fork.Sends = chunk
	b.add(f.fork)
	return nil
}

// Return is the result of a fork's child, which the joined task can read with
// [Results].
func Return[T any](v T) Step {
	return encoded{"a result", v, func(data []byte) step.Decision { return step.Return{Data: data} }}
}

// encoded is a decision about an encoded value.
type encoded struct {
	what  string
	value any
	make  func([]byte) step.Decision
}

func (e encoded) decide(b *build) error {
	data, err := b.encode(e.what, e.value)
	if err == nil {
		b.add(e.make(data))
	}
	return err
}

// Undo registers a message that undoes what the step did. When the run fails,
// its undos are sent in reverse order, each when the one before has ended.
func Undo[T any](t Task[T], v T) Step {
	return encoded{"an undo", v, func(data []byte) step.Decision {
		return step.Undo{Send: step.Send{Task: t.name, Payload: data}}
	}}
}

// Finish closes the run with a result. What it still has open is dropped.
func Finish[R any](result R) Step {
	return encoded{"the result", result, func(data []byte) step.Decision { return step.Finish{Result: data} }}
}

type decision struct{ d step.Decision }

func (d decision) decide(b *build) error { b.add(d.d); return nil }

// Fail makes the run fail: what was not begun is dropped, then its undos run.
func Fail(reason string) Step { return decision{step.Fail{Reason: reason}} }

// Record adds an entry of the author's own to the run's history.
func Record[T any](kind string, v T) Step {
	return encoded{"a history entry", v, func(data []byte) step.Decision { return step.Record{Kind: kind, Data: data} }}
}

// Cancel takes back the timer or join of the run that has a name. The history
// says whether that came in time.
func Cancel(name string) CancelStep { return CancelStep{name: name} }

// CancelStep is a cancellation. Its methods return a changed copy.
type CancelStep struct {
	name string
	late *SendStep
}

// Else sends a message when there is nothing to cancel any more.
func (c CancelStep) Else(s SendStep) CancelStep { c.late = &s; return c }

func (c CancelStep) decide(b *build) error {
	late, err := maybe(b, c.late)
	if err == nil {
		b.add(step.Cancel{Name: c.name, Late: late})
	}
	return err
}

func maybe(b *build, s *SendStep) (*step.Send, error) {
	if s == nil {
		return nil, nil
	}
	send, err := s.build(b)
	return &send, err
}

// Move gives the run's timer of a name a new due time: d after the commit.
func Move(name string, d time.Duration) MoveStep {
	return MoveStep{move: step.Move{Name: name, After: d}}
}

// MoveStep moves a timer. Its methods return a changed copy.
type MoveStep struct {
	move step.Move
	late *SendStep
}

// Else sends a message when there is nothing to move any more.
func (m MoveStep) Else(s SendStep) MoveStep { m.late = &s; return m }

func (m MoveStep) decide(b *build) error {
	late, err := maybe(b, m.late)
	if err == nil {
		m.move.Late = late
		b.add(m.move)
	}
	return err
}

// Reply answers the sender of the step's message, at the topic that its
// metadata reply_to names. Without one the step fails for good.
func Reply[T any](v T) Step { return reply{v} }

type reply struct{ value any }

func (r reply) decide(b *build) error {
	meta := b.unit.Message.Meta
	if meta["reply_to"] == "" {
		return &step.PermanentError{Err: fmt.Errorf("message %s asks for no reply: it has no reply_to", b.unit.Message.ID)}
	}
	data, err := b.encode("the reply", r.value)
	if err == nil {
		b.add(step.Reply{Topic: meta["reply_to"], CorrelationID: meta["correlation_id"], Data: data})
	}
	return err
}

type setState struct{ state any }

func (s setState) decide(b *build) error {
	data, err := b.encode("the state", s.state)
	if err == nil {
		b.add(step.SetState{Data: data})
	}
	return err
}
