package store

import "fmt"

// Status is where a run stands.
type Status uint8

// A run begins Running. Stalled is Running with nothing open but joins that no
// message can fulfil any more. Failing is on its way to Failed or Cancelled,
// while undos run. The last three are final.
const (
	Running Status = iota + 1
	Stalled
	Failing
	Finished
	Failed
	Cancelled
)

var statusNames = map[Status]string{
	Running: "running", Stalled: "stalled", Failing: "failing",
	Finished: "finished", Failed: "failed", Cancelled: "cancelled",
}

func (s Status) String() string {
	if n, ok := statusNames[s]; ok {
		return n
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// ParseStatus reads what [Status.String] writes.
func ParseStatus(name string) (Status, error) {
	for s, n := range statusNames {
		if n == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("unknown status %q", name)
}

// Closed reports whether s is final: the run has no effects any more.
func (s Status) Closed() bool { return s >= Finished }

// Stopped reports whether the run takes no new steps but undos.
func (s Status) Stopped() bool { return s >= Failing }

// Slots is the number of virtual slots that runs are spread over. A run keeps
// its slot for life, so that a database can be added without moving ids.
const Slots = 1024

// Run is all that traces back to one start.
//
// Key, ID, Name, Status, and Ended are columns; the rest is the body.
type Run struct {
	Key    int64
	ID     string // the caller's id, or one that was made; unique
	Name   string // task that the run was started with, or the saga's name
	Status Status
	Ended  Instant // 0 while open

	Saga     bool // a stateful saga: idle, not finished, when nothing is open
	Slot     int
	Version  int    // version of the workflow's definition
	Open     int    // open messages, joins and waits that the run waits for
	Waiting  int    // how many of Open are joins that only an event of this run can end
	Dead     int    // how many of Open are dead letters
	Undos    int    // undos registered; rows Undo 1..Undos
	State    []byte // of a stateful saga
	Revision int    // grows with each change of State
	Result   []byte
	Error    string   // why it failed, is failing, or was cancelled
	Cancel   bool     // Failing ends in Cancelled
	Nonce    string   // of the start, so that a retry of it is known as such
	Input    [32]byte // hash of task and payload of the start
	OnDead   uint8    // what a dead letter does to the run: step.OnDead
	Started  Instant
	Updated  Instant
	Entries  int      // length of the history
	Head     [32]byte // hash of the last entry
	Pages    int      // full pages of the history, rows Page 0..Pages-1
	Tail     []byte   // entries after the last full page
}
