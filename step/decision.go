package step

import (
	"time"

	"github.com/millrace-go/millrace/joins"
	"github.com/millrace-go/millrace/store"
)

// Decision is one thing that a step says is to happen next. The decisions of
// a step take effect together, in its commit.
type Decision interface{ decision() }

// Send is a message to a task. Several are a fork.
type Send struct {
	Task     string            `cbor:"1,keyasint,omitempty"` // "service/task"
	Topic    string            `cbor:"2,keyasint,omitempty"` // default: the service of Task
	Payload  []byte            `cbor:"3,keyasint,omitempty"`
	Meta     map[string]string `cbor:"4,keyasint,omitempty"`
	Name     string            `cbor:"5,keyasint,omitempty"`  // by which the run can cancel or move it
	At       store.Instant     `cbor:"6,keyasint,omitempty"`  // not before
	After    time.Duration     `cbor:"7,keyasint,omitempty"`  // not before so long after the commit
	Priority int16             `cbor:"8,keyasint,omitempty"`  // higher first
	Key      string            `cbor:"9,keyasint,omitempty"`  // exclusive: one holder of it runs at a time
	Away     bool              `cbor:"10,keyasint,omitempty"` // leaves the run: a job, or a message to a plain topic
}

// Fork is a set of sends that a [Join] with its pointer waits for. Small
// forks carry their Sends; large ones were staged in chunks before.
type Fork struct {
	Sends  []Send
	First  int // first chunk staged for it
	Chunks int // how many chunks; 0: Sends
	Staged int // how many sends they hold
}

// Total is the number of children.
func (f *Fork) Total() int { return len(f.Sends) + f.Staged }

// Emit is a fact in the scope of the run, or of a wider scope.
type Emit struct {
	Event string
	Data  []byte
	Scope string // "": the run
}

// Join sends Then once Rule is fulfilled, or Else at the deadline, never both.
type Join struct {
	Name      string // by which the run can cancel it; unique among its open joins
	Rule      joins.Rule
	Fork      *Fork  // for joins.Fork: a fork of the same step
	Scope     string // "": the run
	OnlyAfter bool   // events emitted before the join was opened don't count
	Then      Send
	Within    time.Duration // 0: no deadline
	Else      *Send         // nil: at the deadline the join just ends
}

// Undo registers a message that is sent if the run fails. Undos are sent in
// reverse order, each when the one before has ended.
type Undo struct{ Send Send }

// SetState replaces the state of a stateful saga.
type SetState struct{ Data []byte }

// Record appends an entry to the run's history.
type Record struct {
	Kind string
	Data []byte
}

// Cancel takes back the timer or join of that name. The history says whether
// it came in time; Late is sent when it did not.
type Cancel struct {
	Name string
	Late *Send
}

// Move gives the timer of that name another due time.
type Move struct {
	Name  string
	At    store.Instant
	After time.Duration
	Late  *Send
}

// Reply answers the message's sender, at the address of its metadata.
type Reply struct {
	Topic         string
	CorrelationID string
	Data          []byte
}

// Return is the result of a fork's child, kept for the joined task.
type Return struct{ Data []byte }

// Finish closes the run with a result.
type Finish struct{ Result []byte }

// Fail makes the run fail: its undos run, then it is closed.
type Fail struct{ Reason string }

func (Send) decision()     {}
func (*Fork) decision()    {}
func (Emit) decision()     {}
func (Join) decision()     {}
func (Undo) decision()     {}
func (SetState) decision() {}
func (Record) decision()   {}
func (Cancel) decision()   {}
func (Move) decision()     {}
func (Reply) decision()    {}
func (Return) decision()   {}
func (Finish) decision()   {}
func (Fail) decision()     {}
