package step

import (
	"github.com/millrace-go/millrace/joins"
	"github.com/millrace-go/millrace/store"
)

// The bodies of the rows that the core keeps.

// EventRow is the first emit of an event, and the joins that wait for it.
type EventRow struct {
	Set     bool          `cbor:"1,keyasint,omitempty"`
	At      store.Instant `cbor:"2,keyasint,omitempty"`
	Data    []byte        `cbor:"3,keyasint,omitempty"`
	Waiters []string      `cbor:"4,keyasint,omitempty"` // names of joins of the same owner
}

// JoinRow is an open join.
type JoinRow struct {
	ID       string         `cbor:"1,keyasint,omitempty"` // its messages' ids are derived from it
	Run      int64          `cbor:"2,keyasint,omitempty"`
	RunID    string         `cbor:"3,keyasint,omitempty"`
	Rule     joins.Rule     `cbor:"4,keyasint,omitempty"`
	Progress joins.Progress `cbor:"5,keyasint,omitempty"`
	Then     Send           `cbor:"6,keyasint,omitempty"`
	Else     *Send          `cbor:"7,keyasint,omitempty"`
	Tick     int64          `cbor:"8,keyasint,omitempty"`  // seq of the deadline's message; 0: none
	Due      store.Instant  `cbor:"9,keyasint,omitempty"`  // of the deadline
	Remote   string         `cbor:"10,keyasint,omitempty"` // the join itself is in this wider scope
	Only     bool           `cbor:"11,keyasint,omitempty"` // OnlyAfter
	Stub     string         `cbor:"12,keyasint,omitempty"` // in a wider scope: name of the run's row that stands for it
	Fork     string         `cbor:"13,keyasint,omitempty"` // Join of the children of its fork; owns their results
}

// InboxRow says that something from outside was taken in.
type InboxRow struct {
	Outcome []byte `cbor:"1,keyasint,omitempty"` // of another store's message: what was sent home
}

// UndoRow is a registered undo.
type UndoRow struct {
	ID   string `cbor:"1,keyasint,omitempty"`
	Send Send   `cbor:"2,keyasint,omitempty"`
}

// AttemptRow is a failed attempt of a message.
type AttemptRow struct {
	Number int           `cbor:"1,keyasint,omitempty"`
	At     store.Instant `cbor:"2,keyasint,omitempty"`
	Host   string        `cbor:"3,keyasint,omitempty"`
	PID    int           `cbor:"4,keyasint,omitempty"`
	Text   string        `cbor:"5,keyasint,omitempty"`
	Stack  string        `cbor:"6,keyasint,omitempty"`
}

// DeadRow is a dead letter: the message as it was.
type DeadRow struct {
	Message store.Message `cbor:"1,keyasint,omitempty"`
	At      store.Instant `cbor:"2,keyasint,omitempty"`
	Reason  string        `cbor:"3,keyasint,omitempty"`
	Open    bool          `cbor:"4,keyasint,omitempty"` // its run waits for it
}

// Holds reports whether a run waits for its dead letter. A run that fails waits
// only for those of its undos.
func (d *DeadRow) Holds(r *store.Run) bool {
	return d.Open && (d.Message.Undo > 0 || !r.Status.Stopped())
}

// LockRow is an exclusive key that a message has.
type LockRow struct {
	Running int64 `cbor:"1,keyasint,omitempty"`
}

// WaiterRow is a message that waits for an exclusive key.
type WaiterRow struct {
	Starts bool   `cbor:"1,keyasint,omitempty"`
	Saga   string `cbor:"2,keyasint,omitempty"`
}

// ChunkRow is a staged part of a fork.
type ChunkRow struct {
	Sends []Send `cbor:"1,keyasint,omitempty"`
}

// ScopeRow is a wider scope in use.
type ScopeRow struct {
	Used store.Instant `cbor:"1,keyasint,omitempty"`
	Open int           `cbor:"2,keyasint,omitempty"` // joins
}

// ResultRow is what became of a fork's child.
type ResultRow struct {
	Data   []byte `cbor:"1,keyasint,omitempty"`
	Failed bool   `cbor:"2,keyasint,omitempty"`
	Error  string `cbor:"3,keyasint,omitempty"`
}

// CounterRow holds a shard of the store's counters. Accepted is always
// Done + Dead + Cancelled + the messages that are there (SEMANTICS M9).
type CounterRow struct {
	Accepted   int64 `cbor:"1,keyasint,omitempty"`
	Done       int64 `cbor:"2,keyasint,omitempty"`
	Dead       int64 `cbor:"3,keyasint,omitempty"` // now: less what was requeued or discarded
	Cancelled  int64 `cbor:"4,keyasint,omitempty"`
	Duplicates int64 `cbor:"5,keyasint,omitempty"` // outcomes that were discarded
}

// EditRow is what a dead letter's payload was before it was edited.
type EditRow struct {
	At      store.Instant `cbor:"1,keyasint,omitempty"`
	Payload []byte        `cbor:"2,keyasint,omitempty"`
}

// Owner returns the owner of the rows of a run, or of a wider scope if scope
// is not empty.
func Owner(run int64, scope string) string {
	if scope != "" {
		return "@" + scope
	}
	return store.Num(run)
}

// ResultOwner returns the owner of the results of a fork.
func ResultOwner(run int64, join string) string { return store.Num(run) + "/" + join }

// Counters are spread over rows, so that no commit waits for another's, and
// what a process knows of its own rows stays true. A worker has those of
// [OwnLanes] to itself, unless there are very many workers. Transactions of
// callers, which may last, share as many others.
const counterShards = 1024

// OwnLanes is how many lanes a worker has for its own commits. Any other lane is
// for a transaction of a caller's.
const OwnLanes = 4

func counterKey(worker, lane int64) store.RowKey {
	shard := (worker*OwnLanes + lane) % counterShards
	if lane >= OwnLanes {
		shard = counterShards + lane%counterShards
	}
	return store.RowKey{Kind: store.Counter, Name: store.Num(shard)}
}
