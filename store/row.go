package store

import "fmt"

// RowKind is a table of small rows that the core reads and writes by key.
type RowKind uint8

// Owner and Name of each kind's key are given behind it. Keys that are numbers
// are written by [Num], so that they sort.
const (
	Page    RowKind = iota + 1 // full page of a run's history: run, page
	Event                      // first emit of an event, and who waits for it: scope, event
	Join                       // open join or fork: scope, join
	Undo                       // run, n
	Attempt                    // failed attempt: id of the message, n
	Dead                       // dead letter: "", seq
	Inbox                      // id from outside that was taken in: consumer, id
	Lock                       // exclusive key: key, ""
	Waiter                     // message that waits for an exclusive key: key, seq
	Chunk                      // staged part of a fork: seq of the parent, chunk
	Scope                      // wider scope: scope, ""
	Result                     // outcome of a fork's child: run "/" join, index
	Counter                    // conservation counters: "", shard
	Edit                       // what an edited dead letter was before: id of the message, n
	Topic                      // topic that the store's own processes did not all host: "", topic
)

var rowKindNames = [...]string{"", "page", "event", "join", "undo", "attempt", "dead", "inbox",
	"lock", "waiter", "chunk", "scope", "result", "counter", "edit", "topic"}

func (k RowKind) String() string {
	if int(k) < len(rowKindNames) {
		return rowKindNames[k]
	}
	return fmt.Sprintf("row(%d)", uint8(k))
}

// RowKey names a row.
type RowKey struct {
	Kind  RowKind
	Owner string
	Name  string
}

func (k RowKey) String() string { return k.Kind.String() + "/" + k.Owner + "/" + k.Name }

// Row is a small row: a key, an opaque body, and the time after which it may
// be purged (0: never).
type Row struct {
	RowKey
	Until Instant
	Body  []byte
}

// Num writes n with a fixed width, so that names sort as numbers do.
func Num(n int64) string {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	var b [13]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = digits[n&31]
		n >>= 5
	}
	return string(b[:])
}

// ParseNum reads what [Num] writes; ok is false for anything else.
func ParseNum(s string) (n int64, ok bool) {
	if len(s) != 13 {
		return 0, false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			n = n<<5 | int64(c-'0')
		case c >= 'a' && c <= 'v':
			n = n<<5 | int64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}
