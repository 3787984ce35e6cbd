package store

import (
	"math"
	"time"
)

// Instant is a point in time in microseconds since 1970 UTC. The zero Instant
// means "none"; as a due time it means "at once".
type Instant int64

// Never is the due time of a message that is parked until something else
// makes it due.
const Never Instant = math.MaxInt64

// At converts t. Precision below a microsecond is dropped.
func At(t time.Time) Instant { return Instant(t.UnixMicro()) }

// Time converts i to a time.Time in UTC.
func (i Instant) Time() time.Time { return time.UnixMicro(int64(i)).UTC() }

// Add returns the instant d later. Never stays Never.
func (i Instant) Add(d time.Duration) Instant {
	if i == Never {
		return Never
	}
	return i + Instant(d.Microseconds())
}

// Sub returns the duration from j to i.
func (i Instant) Sub(j Instant) time.Duration {
	return time.Duration(i-j) * time.Microsecond
}

// Kind says who carries a message out.
type Kind uint8

// Task is carried out by a handler. The other kinds are internal: the core
// carries them out by itself, in a commit of their own.
const (
	Task    Kind = iota
	Tick         // a join's deadline
	Release      // hands out the next chunk of a staged fork
	Sweep        // drops, piece by piece, what a closed run left open
	Emit         // carries an event to a wider scope
	Enlist       // carries a join to a wider scope
	Delist       // takes a join out of a wider scope, since its run was closed
	Expire       // ends a wider scope that is no longer used
)

var kindNames = [...]string{"task", "tick", "release", "sweep", "emit", "enlist", "delist", "expire"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Internal is the topic of internal messages, which any worker of the store
// carries out.
const Internal = "~"

// Message is an envelope addressed to a task. It is a row until its outcome
// is stored: outbox entry, timer and job in one.
//
// Seq, Topic, Run, Name, Due, Published, Priority and Worker are columns that
// stores select by; the rest is the body, which stores keep as one opaque value
// (see [Message.AppendBody]).
type Message struct {
	Seq      int64   // key, given by the core from Snapshot.NextSeq; grows
	Topic    string  // queue: the service that the task belongs to
	Run      int64   // key of the run, 0 outside any run
	Name     string  // name of a timer, unique among its run's open messages; or empty
	Due      Instant // 0 at once; Never parked
	Priority int16   // higher first
	Worker   int64   // key of the worker that holds it; 0 free

	// Published is how often the message went to a broker since it fell due. If
	// that is not 0, Due is when it goes again unless it was taken, and a claim
	// by its seq takes it before Due (see [Grab]).
	Published int

	Kind    Kind
	ID      string            // at most 36 characters, derived from the parent's
	RunID   string            // id of the run, for handlers and logs
	Task    string            // "service/task"; empty for plain messages; an Emit's event
	Join    string            // name of the join that this is a fork's child of, or its deadline, or (with Scope) its message
	Index   int               // position in that fork
	Joined  bool              // Payload is a joins.Result
	Key     string            // exclusive key: one holder of it runs at a time
	Saga    string            // name of the stateful saga that Key is an instance of
	Undo    int               // n: this is the n-th undo of its run, counted from 1
	Attempt int               // attempts that failed since it was sent or requeued
	Tries   int               // attempts that failed in all, rows Attempt 1..Tries
	First   Instant           // time of the first failed attempt of Attempt
	Staged  int               // chunks staged by an execution of this message; of a Release: where they end
	Scope   string            // owner of the rows that an internal message concerns; of a task: wider scope of its join
	Number  int64             // next chunk of a Release
	Home    string            // name of the store that the message belongs to, when it came here from there
	HomeSeq int64             // its Seq there
	Lent    bool              // it was published whole: whoever took it in, on whatever store, answers for it
	Payload []byte            // opaque
	Meta    map[string]string // metadata that travels with it
}

// Held reports whether a worker holds m.
func (m *Message) Held() bool { return m.Worker != 0 }

// Size estimates what m takes in memory, in bytes.
func (m *Message) Size() int {
	n := 256 + len(m.ID) + len(m.Task) + len(m.Topic) + len(m.Payload)
	for k, v := range m.Meta {
		n += 32 + len(k) + len(v)
	}
	return n
}
