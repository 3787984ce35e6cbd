package step

import (
	"time"

	"github.com/millrace-go/millrace/store"
)

// Verb says what happened.
type Verb uint8

const (
	Done      Verb = iota // the handler succeeded: its Decisions take effect
	Retry                 // it failed, and is due again after Delay
	Reject                // it failed for good: the message is a dead letter
	Yield                 // it was not run: the message is free again
	Drop                  // its run takes no steps any more: the message is cancelled
	Internal              // an internal message is to be carried out
	Admit                 // the message asks for its exclusive key, and its saga's state
	Readdress             // the message turns out to be for a stateful saga
	Stage                 // a chunk of a large fork is put aside
	Begin                 // a run is started
	Insert                // messages from outside any run
	Abort                 // a run is cancelled, or failed, from outside
	Requeue               // a dead letter is sent again
	Discard               // a dead letter is given up
	Publish               // the message goes to a broker, and is free until it goes again
)

var verbNames = [...]string{"done", "retry", "reject", "yield", "drop", "internal", "admit", "readdress",
	"stage", "begin", "insert", "abort", "requeue", "discard", "publish"}

func (v Verb) String() string {
	if int(v) < len(verbNames) {
		return verbNames[v]
	}
	return "unknown"
}

// Outcome is something that happened, and that is to be stored.
type Outcome struct {
	Verb    Verb
	Message *store.Message // the held message, for Done to Stage; not changed by Fold

	Decisions []Decision    // Done
	Delay     time.Duration // Retry
	Failure   *Failure      // Retry, Reject; Insert: another store's message that can't be taken in

	Saga   string // Admit, Readdress: name of the stateful saga; "" for a mere exclusive key
	Key    string // Admit, Readdress: the exclusive key
	Starts bool   // Admit: the message may create the saga's instance

	Chunk int    // Stage: number of the chunk
	Sends []Send // Stage, Insert

	Start  *Start  // Begin
	Source *Source // Insert
	Dead   *DeadOp // Requeue, Discard
	Abort  *AbortOp
}

// Failure is why an attempt failed.
type Failure struct {
	Text  string
	Stack string // of a panic
}

// OnDead says what a dead letter does to its run.
type OnDead uint8

const (
	LeaveOpen  OnDead = iota // nothing: the run stays open until the letter is requeued or discarded
	FailRun                  // the run is failed, without undos
	Compensate               // the run fails, and its undos run
)

// Start begins a run.
type Start struct {
	RunID  string
	Task   string
	Input  []byte
	Meta   map[string]string
	Nonce  string // of this call, so that a retry of it is told apart from another's start
	OnDead OnDead
	At     store.Instant // first step not before
}

// Source says where inserted messages come from, and keeps them from being
// inserted twice.
type Source struct {
	Consumer  string        // namespace of ID
	ID        string        // of the insertion; the same one again inserts nothing
	Retention time.Duration // how long ID is remembered
	Held      bool          // the inserter runs the messages itself
	Home      *Home         // the one message belongs to another store
	Here      bool          // the messages came through the broker, and don't go back to it
}

// Home says what a message is in the store that it belongs to. There its
// outcome takes effect; here it is only carried out.
type Home struct {
	Store  string
	Seq    int64
	ID     string
	RunID  string
	Joined bool
}

// DeadOp is about a dead letter.
type DeadOp struct {
	Seq     int64
	At      store.Instant // Requeue: not before
	Payload *[]byte       // Requeue: replaces the payload; the old one is kept
	Reason  string        // Discard
}

// AbortOp ends a run from outside.
type AbortOp struct {
	RunID  string
	Reason string
	Cancel bool // the run ends cancelled, not failed
}

// Code is what became of an outcome.
type Code uint8

const (
	Applied   Code = iota + 1 // it is stored
	Duplicate                 // another outcome of this message was stored before
	LeaseLost                 // the worker does not hold the message any more
	Existed                   // Begin: the run was started before, by another call
	Conflict                  // Begin: the id is taken by a run with another task or input
	Blocked                   // Admit: the message waits for its key, or for its saga
	Missing                   // there is no such run or dead letter
	Invalid                   // the decisions contradict the run; nothing of them is stored
)

var codeNames = [...]string{"", "applied", "duplicate", "lease lost", "existed", "conflict", "blocked", "missing", "invalid"}

func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "unknown"
}

// Verdict is the answer to an outcome.
type Verdict struct {
	Code    Code
	Err     error          // Invalid: why
	Run     *store.Run     // Begin, Admit, Abort: the run as it now is
	Message *store.Message // Admit, Stage: the message as it now is
}

// Result is what a fold tells the engine, valid once its changes are stored.
type Result struct {
	Verdicts []Verdict        // one for each outcome, in their order
	Held     []*store.Message // now held by the worker and to be carried out
	Free     []Wake           // now free, for anyone
	Ended    []*store.Run     // closed by this commit
	Stopped  []int64          // runs whose messages, if not begun, are to be dropped

	Published []*store.Message // to be given to the broker now
	Topics    []string         // topics that got a row, since Env did not know them
}

// Wake says that a message of a topic is free from Due on (0: now).
type Wake struct {
	Topic string
	Due   store.Instant
}
