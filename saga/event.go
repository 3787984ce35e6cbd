package saga

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/millrace-go/millrace/joins"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Event is a named fact with data of type T, in the scope of a run or of a
// wider scope.
type Event[T any] struct{ name string }

// NewEvent names an event.
func NewEvent[T any](name string) Event[T] { return Event[T]{name} }

// Name returns the event's name.
func (e Event[T]) Name() string { return e.name }

// Named is what [All], [Any] and [Some] take: an Event of any type.
type Named interface {
	// Name returns the event's name.
	Name() string
}

// EmitStep is an event. Its methods return a changed copy.
type EmitStep struct {
	emit  step.Emit
	value any
}

// Emit makes an event known to the joins of its run, also to those that are
// opened later. It counts once; the first data is what a join gets.
func Emit[T any](e Event[T], v T) EmitStep {
	return EmitStep{step.Emit{Event: e.name}, v}
}

// In emits into a wider scope, across runs and services, such as "order/42".
func (e EmitStep) In(scope string) EmitStep { e.emit.Scope = scope; return e }

func (e EmitStep) decide(b *build) error {
	var err error
	if e.emit.Data, err = b.encode("the event "+e.emit.Event, e.value); err == nil {
		b.add(e.emit)
	}
	return err
}

// Condition is what a join waits for.
type Condition struct {
	rule joins.Rule
	fork *step.Fork
}

// All is fulfilled when every event was emitted.
func All(events ...Named) Condition {
	return Condition{rule: joins.Rule{Mode: joins.All, Events: names(events)}}
}

// Any is fulfilled when one of the events was emitted.
func Any(events ...Named) Condition {
	return Condition{rule: joins.Rule{Mode: joins.Any, Events: names(events)}}
}

// Some is fulfilled when n of the events were emitted.
func Some(n int, events ...Named) Condition {
	return Condition{rule: joins.Rule{Mode: joins.Some, Need: n, Events: names(events)}}
}

// AllOf is fulfilled when every child of a fork of the same step has its
// outcome. A dead letter counts as failed.
func AllOf[T any](f *ForkStep[T]) Condition {
	return Condition{rule: joins.Rule{Mode: joins.Fork}, fork: f.fork}
}

// OrFailed fulfils AllOf early, once n children have failed.
func (c Condition) OrFailed(n int) Condition { c.rule.MaxFailed = n; return c }

func names(events []Named) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = e.Name()
	}
	return out
}

// JoinStep opens a join. Its methods return a changed copy.
type JoinStep[T any] struct {
	join step.Join
	data T
	then Task[Joined[T]]
	alt  *Task[Joined[T]]
}

// Join sends data to a task, together with what arrived, once the condition
// is fulfilled: exactly once, whatever the order of the events. Events that
// were emitted before the join was opened count.
func Join[T any](c Condition, then Task[Joined[T]], data T) JoinStep[T] {
	return JoinStep[T]{join: step.Join{Rule: c.rule, Fork: c.fork}, data: data, then: then}
}

// Within sends the data to alt instead if the condition is not fulfilled d
// after the commit: either the one or the other happens. alt gets the events
// that did arrive.
func (j JoinStep[T]) Within(d time.Duration, alt Task[Joined[T]]) JoinStep[T] {
	j.join.Within, j.alt = d, &alt
	return j
}

// Named gives the join a name, by which its run can [Cancel] it.
func (j JoinStep[T]) Named(name string) JoinStep[T] { j.join.Name = name; return j }

// In waits for events of a wider scope.
func (j JoinStep[T]) In(scope string) JoinStep[T] { j.join.Scope = scope; return j }

// OnlyAfter counts no events that were emitted before the join was opened.
func (j JoinStep[T]) OnlyAfter() JoinStep[T] { j.join.OnlyAfter = true; return j }

func (j JoinStep[T]) decide(b *build) error {
	data, err := b.encode("the data of a join", j.data)
	if err != nil {
		return err
	}
	j.join.Then = step.Send{Task: j.then.name, Payload: data}
	if j.alt != nil {
		j.join.Else = &step.Send{Task: j.alt.name, Payload: data}
	}
	b.add(j.join)
	return nil
}

// Joined is what a joined task gets: the join's own data, and what arrived.
type Joined[T any] struct {
	Data   T
	Events Arrivals // in the order in which the join named them
	Late   bool     // the deadline came first

	Total, Done, Failed int // AllOf: children, how many succeeded, how many failed

	owner string
}

type joinedReader interface {
	read(h Host, m *store.Message) error
}

func (j *Joined[T]) read(h Host, m *store.Message) error {
	if !m.Joined {
		return fmt.Errorf("message %s was sent by no join", m.ID)
	}
	var res joins.Result
	if err := store.Unmarshal(m.Payload, &res); err != nil {
		return err
	}
	j.Events = Arrivals{host: h, list: res.Events, owner: res.Owner}
	j.Late, j.Total, j.Done, j.Failed, j.owner = res.Late, res.Total, res.Done, res.Failed, res.Owner
	return h.Codec().Unmarshal(res.Data, &j.Data)
}

// Arrivals are the events that a join got.
type Arrivals struct {
	host  Host
	owner string
	list  []joins.Arrival
}

// Names returns the names of the events that arrived.
func (a Arrivals) Names() []string {
	out := make([]string, len(a.list))
	for i, e := range a.list {
		out[i] = e.Event
	}
	return out
}

// From returns the event's data and when it was emitted; ok is false when it
// did not arrive. Data that was too large to be handed over is read from the
// store.
func (e Event[T]) From(ctx context.Context, a Arrivals) (v T, at time.Time, ok bool, err error) {
	for _, got := range a.list {
		if got.Event != e.name {
			continue
		}
		data := got.Data
		if got.Elided {
			if data, err = a.load(ctx, got.Event); err != nil {
				return v, at, true, err
			}
		}
		err = a.host.Codec().Unmarshal(data, &v)
		return v, got.Time(), true, err
	}
	return v, at, false, nil
}

func (a Arrivals) load(ctx context.Context, event string) ([]byte, error) {
	key := store.RowKey{Kind: store.Event, Owner: a.owner, Name: event}
	row, err := step.ReadRow[step.EventRow](ctx, a.host.Find, key)
	if err != nil {
		return nil, err
	}
	return row.Data, nil
}

// Outcome is what became of one child of a fork.
type Outcome[R any] struct {
	Index  int    // of the child among the fork's items
	Value  R      // what it returned
	Failed bool   // it is a dead letter
	Error  string // why
}

// Results pages through what the children of an AllOf join returned, in their
// order. Children that succeeded and returned nothing are left out.
func Results[R, T any](ctx context.Context, j Joined[T]) iter.Seq2[Outcome[R], error] {
	return func(yield func(Outcome[R], error) bool) {
		h := j.Events.host
		for key, row := range step.Rows[step.ResultRow](ctx, h.Find, store.Result, j.owner) {
			if row.Err != nil {
				yield(Outcome[R]{}, row.Err)
				return
			}
			n, _ := store.ParseNum(key.Name)
			out := Outcome[R]{Index: int(n), Failed: row.Row.Failed, Error: row.Row.Error}
			var err error
			if len(row.Row.Data) > 0 {
				err = h.Codec().Unmarshal(row.Row.Data, &out.Value)
			}
			if !yield(out, err) {
				return
			}
		}
	}
}
