package redis

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace-go/millrace/store"
)

// A stored value begins with the stamp of the commit that wrote it: the first
// number that was given to that commit, and to no other. What scripts look at
// follows in fixed places (see prelude.lua and commit.lua), and the body at
// the end.
const (
	stampSize    = 8
	holderSize   = stampSize + numSize // a message's stamp and worker
	numSize      = 13                  // of what store.Num writes
	messageHead  = 52
	runHead      = 26
	rowHead      = 16
	nobody       = "0000000000000" // store.Num(0)
	numbersBlock = 10              // bits of a number that are not in its block's name
	bodyGuess    = 192             // of what has a body besides its long parts
)

var order = binary.BigEndian

func decimal(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func number(s string) int64 {
	n, _ := store.ParseNum(s)
	return n
}

// blockOf names the block of a number.
func blockOf(n int64) string { return store.Num(n)[:numSize-2] }

func sameBlock(a, b int64) bool { return a>>numbersBlock == b>>numbersBlock }

func messageValue(stamp int64, m *store.Message) ([]byte, error) {
	if len(m.Topic) > 0xffff || len(m.Name) > 0xffff {
		return nil, fmt.Errorf("message %d: topic and name must be shorter than 64 KiB", m.Seq)
	}
	b := make([]byte, 0, messageHead+bodyGuess+len(m.Topic)+len(m.Name)+len(m.Payload))
	b = order.AppendUint64(b, uint64(stamp))
	b = append(b, store.Num(m.Worker)...)
	b = append(b, store.Num(m.Run)...)
	b = order.AppendUint64(b, uint64(m.Due))
	b = order.AppendUint16(b, uint16(int32(m.Priority)+32768))
	b = order.AppendUint32(b, uint32(m.Published))
	b = order.AppendUint16(b, uint16(len(m.Topic)))
	b = order.AppendUint16(b, uint16(len(m.Name)))
	b = append(b, m.Topic...)
	b = append(b, m.Name...)
	return m.AppendBody(b), nil
}

// messageOf decodes a value. The error wraps store.ErrCorrupt.
func messageOf(seq int64, v string) (*store.Message, error) {
	if len(v) < messageHead {
		return nil, fmt.Errorf("message %d: %w: too short", seq, store.ErrCorrupt)
	}
	b := []byte(v)
	topic, name := int(order.Uint16(b[48:])), int(order.Uint16(b[50:]))
	if len(b) < messageHead+topic+name {
		return nil, fmt.Errorf("message %d: %w: too short", seq, store.ErrCorrupt)
	}
	rest := v[messageHead:]
	m := &store.Message{
		Seq:       seq,
		Worker:    number(v[8:21]),
		Run:       number(v[21:34]),
		Due:       store.Instant(order.Uint64(b[34:])),
		Priority:  int16(int32(order.Uint16(b[42:])) - 32768),
		Published: int(order.Uint32(b[44:])),
		Topic:     rest[:topic],
		Name:      rest[topic : topic+name],
	}
	return m, m.UnmarshalBody(b[messageHead+topic+name:])
}

func runValue(stamp int64, r *store.Run) []byte {
	b := make([]byte, 0, runHead+bodyGuess+len(r.ID)+len(r.Name)+len(r.State)+len(r.Result)+len(r.Tail))
	b = order.AppendUint64(b, uint64(stamp))
	purgeable := byte('0')
	if r.Status.Closed() && r.Ended > 0 {
		purgeable = '1'
	}
	b = append(b, purgeable, statusMark(r.Status))
	b = order.AppendUint64(b, uint64(r.Ended))
	b = order.AppendUint32(b, uint32(len(r.ID)))
	b = order.AppendUint32(b, uint32(len(r.Name)))
	b = append(b, r.ID...)
	b = append(b, r.Name...)
	return r.AppendBody(b)
}

// statusMark is a state as scripts see it: a character.
func statusMark(s store.Status) byte { return '0' + byte(s) }

func statusOf(mark byte) store.Status { return store.Status(mark - '0') }

// runOf decodes a value. The error wraps store.ErrCorrupt.
func runOf(key int64, v string) (*store.Run, error) {
	if len(v) < runHead {
		return nil, fmt.Errorf("run %d: %w: too short", key, store.ErrCorrupt)
	}
	b := []byte(v)
	id, name := int(order.Uint32(b[18:])), int(order.Uint32(b[22:]))
	if len(b) < runHead+id+name {
		return nil, fmt.Errorf("run %d: %w: too short", key, store.ErrCorrupt)
	}
	rest := v[runHead:]
	r := &store.Run{
		Key:    key,
		ID:     rest[:id],
		Name:   rest[id : id+name],
		Status: statusOf(v[9]),
		Ended:  store.Instant(order.Uint64(b[10:])),
	}
	return r, r.UnmarshalBody(b[runHead+id+name:])
}

func rowValue(stamp int64, r *store.Row) []byte {
	b := make([]byte, 0, rowHead+len(r.Body))
	b = order.AppendUint64(b, uint64(stamp))
	b = order.AppendUint64(b, uint64(r.Until))
	return append(b, r.Body...)
}

// rowOf decodes a value. The error wraps store.ErrCorrupt.
func rowOf(key store.RowKey, v string) (*store.Row, error) {
	if len(v) < rowHead {
		return nil, fmt.Errorf("row %v: %w: too short", key, store.ErrCorrupt)
	}
	r := &store.Row{RowKey: key, Until: store.Instant(order.Uint64([]byte(v[8:16])))}
	if len(v) > rowHead {
		r.Body = []byte(v[rowHead:])
	}
	return r, nil
}

// A row's key sorts by kind, owner and name: two digits of the kind, the
// owner, an end mark, and the name. In the owner, a zero byte is followed by
// one that sorts behind the mark's.
const (
	ownerEnd  = "\x00\x01"
	ownerPast = "\x00\x02" // behind all names of an owner
)

func ownerOf(kind store.RowKind, owner string) string {
	const digits = "0123456789abcdef"
	if strings.IndexByte(owner, 0) >= 0 {
		owner = strings.ReplaceAll(owner, "\x00", "\x00\xff")
	}
	return string([]byte{digits[kind>>4], digits[kind&15]}) + owner
}

func memberOf(k store.RowKey) string { return ownerOf(k.Kind, k.Owner) + ownerEnd + k.Name }

// keyOf undoes memberOf.
func keyOf(member string) store.RowKey {
	if len(member) < 2 {
		return store.RowKey{}
	}
	kind, _ := strconv.ParseUint(member[:2], 16, 8)
	owner, name, _ := strings.Cut(member[2:], ownerEnd)
	return store.RowKey{Kind: store.RowKind(kind), Owner: strings.ReplaceAll(owner, "\x00\xff", "\x00"), Name: name}
}

// workerBody is what of a worker follows its two times.
type workerBody struct {
	Host  string `cbor:"1,keyasint,omitempty"`
	Boot  string `cbor:"2,keyasint,omitempty"`
	PidNS string `cbor:"3,keyasint,omitempty"`
	PID   int    `cbor:"4,keyasint,omitempty"`
	Born  string `cbor:"5,keyasint,omitempty"`
}

// workerOf decodes a value. The error wraps store.ErrCorrupt.
func workerOf(key int64, v string) (store.Worker, error) {
	if len(v) < 16 {
		return store.Worker{}, fmt.Errorf("worker %d: %w: too short", key, store.ErrCorrupt)
	}
	b := []byte(v)
	var w workerBody
	if err := store.Unmarshal(b[16:], &w); err != nil {
		return store.Worker{}, fmt.Errorf("worker %d: %w", key, err)
	}
	return store.Worker{
		Key: key, Host: w.Host, Boot: w.Boot, PidNS: w.PidNS, PID: w.PID, Born: w.Born,
		Until: store.Instant(order.Uint64(b)), Started: store.Instant(order.Uint64(b[8:])),
	}, nil
}
