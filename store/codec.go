package store

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/millrace-go/millrace/internal/body"
)

// The bodies of rows are CBOR (RFC 8949) with small integer keys: compact,
// and open for fields of later versions, which older programs skip.

var (
	encMode = must(cbor.EncOptions{Sort: cbor.SortNone, IndefLength: cbor.IndefLengthForbidden}.EncMode())
	decMode = must(cbor.DecOptions{
		ExtraReturnErrors: cbor.ExtraDecErrorNone,
		MaxArrayElements:  1 << 27, MaxMapPairs: 1 << 27, UTF8: cbor.UTF8DecodeInvalid,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Marshal encodes the body of a row.
func Marshal(v any) ([]byte, error) { return encMode.Marshal(v) }

// Unmarshal decodes the body of a row. What does not decode is [ErrCorrupt].
func Unmarshal(b []byte, v any) error {
	if err := decMode.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

type messageBody struct {
	Kind    Kind              `cbor:"1,keyasint,omitempty"`
	ID      string            `cbor:"2,keyasint,omitempty"`
	RunID   string            `cbor:"3,keyasint,omitempty"`
	Task    string            `cbor:"4,keyasint,omitempty"`
	Join    string            `cbor:"5,keyasint,omitempty"`
	Index   int               `cbor:"6,keyasint,omitempty"`
	Joined  bool              `cbor:"7,keyasint,omitempty"`
	Key     string            `cbor:"8,keyasint,omitempty"`
	Saga    string            `cbor:"9,keyasint,omitempty"`
	Undo    int               `cbor:"10,keyasint,omitempty"`
	Attempt int               `cbor:"11,keyasint,omitempty"`
	Tries   int               `cbor:"12,keyasint,omitempty"`
	First   Instant           `cbor:"13,keyasint,omitempty"`
	Staged  int               `cbor:"14,keyasint,omitempty"`
	Scope   string            `cbor:"15,keyasint,omitempty"`
	Number  int64             `cbor:"16,keyasint,omitempty"`
	Payload []byte            `cbor:"17,keyasint,omitempty"`
	Meta    map[string]string `cbor:"18,keyasint,omitempty"`
	Home    string            `cbor:"19,keyasint,omitempty"`
	HomeSeq int64             `cbor:"20,keyasint,omitempty"`
	Lent    bool              `cbor:"21,keyasint,omitempty"`
}

// AppendBody encodes what of m is not a column, behind b. Package step writes
// bodies of messages and runs in each step: see package body.
func (m *Message) AppendBody(b []byte) []byte {
	w := body.Begin(b)
	w.Int(1, int64(m.Kind))
	w.Text(2, m.ID)
	w.Text(3, m.RunID)
	w.Text(4, m.Task)
	w.Text(5, m.Join)
	w.Int(6, int64(m.Index))
	w.Bool(7, m.Joined)
	w.Text(8, m.Key)
	w.Text(9, m.Saga)
	w.Int(10, int64(m.Undo))
	w.Int(11, int64(m.Attempt))
	w.Int(12, int64(m.Tries))
	w.Int(13, int64(m.First))
	w.Int(14, int64(m.Staged))
	w.Text(15, m.Scope)
	w.Int(16, m.Number)
	w.Bytes(17, m.Payload)
	w.Strings(18, m.Meta)
	w.Text(19, m.Home)
	w.Int(20, m.HomeSeq)
	w.Bool(21, m.Lent)
	return w.End()
}

// UnmarshalBody fills what of m is not a column. The error wraps [ErrCorrupt].
func (m *Message) UnmarshalBody(encoded []byte) error {
	var b messageBody
	if err := Unmarshal(encoded, &b); err != nil {
		return fmt.Errorf("message %d: %w", m.Seq, err)
	}
	m.Kind = b.Kind
	m.ID = b.ID
	m.RunID = b.RunID
	m.Task = b.Task
	m.Join = b.Join
	m.Index = b.Index
	m.Joined = b.Joined
	m.Key = b.Key
	m.Saga = b.Saga
	m.Undo = b.Undo
	m.Attempt = b.Attempt
	m.Tries = b.Tries
	m.First = b.First
	m.Staged = b.Staged
	m.Scope = b.Scope
	m.Number = b.Number
	m.Payload = b.Payload
	m.Meta = b.Meta
	m.Home = b.Home
	m.HomeSeq = b.HomeSeq
	m.Lent = b.Lent
	return nil
}

type runBody struct {
	Slot     int     `cbor:"1,keyasint,omitempty"`
	Version  int     `cbor:"2,keyasint,omitempty"`
	Open     int     `cbor:"3,keyasint,omitempty"`
	Waiting  int     `cbor:"4,keyasint,omitempty"`
	Dead     int     `cbor:"5,keyasint,omitempty"`
	Undos    int     `cbor:"6,keyasint,omitempty"`
	State    []byte  `cbor:"7,keyasint,omitempty"`
	Revision int     `cbor:"8,keyasint,omitempty"`
	Result   []byte  `cbor:"9,keyasint,omitempty"`
	Error    string  `cbor:"10,keyasint,omitempty"`
	Cancel   bool    `cbor:"11,keyasint,omitempty"`
	Nonce    string  `cbor:"12,keyasint,omitempty"`
	Input    []byte  `cbor:"13,keyasint,omitempty"`
	OnDead   uint8   `cbor:"14,keyasint,omitempty"`
	Started  Instant `cbor:"15,keyasint,omitempty"`
	Updated  Instant `cbor:"16,keyasint,omitempty"`
	Entries  int     `cbor:"17,keyasint,omitempty"`
	Head     []byte  `cbor:"18,keyasint,omitempty"`
	Pages    int     `cbor:"19,keyasint,omitempty"`
	Tail     []byte  `cbor:"20,keyasint,omitempty"`
	Saga     bool    `cbor:"21,keyasint,omitempty"`
}

// AppendBody encodes what of r is not a column, behind b.
func (r *Run) AppendBody(b []byte) []byte {
	w := body.Begin(b)
	w.Int(1, int64(r.Slot))
	w.Int(2, int64(r.Version))
	w.Int(3, int64(r.Open))
	w.Int(4, int64(r.Waiting))
	w.Int(5, int64(r.Dead))
	w.Int(6, int64(r.Undos))
	w.Bytes(7, r.State)
	w.Int(8, int64(r.Revision))
	w.Bytes(9, r.Result)
	w.Text(10, r.Error)
	w.Bool(11, r.Cancel)
	w.Text(12, r.Nonce)
	w.Bytes(13, r.Input[:])
	w.Int(14, int64(r.OnDead))
	w.Int(15, int64(r.Started))
	w.Int(16, int64(r.Updated))
	w.Int(17, int64(r.Entries))
	w.Bytes(18, r.Head[:])
	w.Int(19, int64(r.Pages))
	w.Bytes(20, r.Tail)
	w.Bool(21, r.Saga)
	return w.End()
}

// UnmarshalBody fills what of r is not a column. The error wraps [ErrCorrupt].
func (r *Run) UnmarshalBody(encoded []byte) error {
	var b runBody
	if err := Unmarshal(encoded, &b); err != nil {
		return fmt.Errorf("run %d: %w", r.Key, err)
	}
	r.Slot, r.Version, r.Open, r.Waiting, r.Dead, r.Undos = b.Slot, b.Version, b.Open, b.Waiting, b.Dead, b.Undos
	r.State, r.Revision, r.Result, r.Error, r.Cancel = b.State, b.Revision, b.Result, b.Error, b.Cancel
	r.Nonce, r.OnDead, r.Started, r.Updated = b.Nonce, b.OnDead, b.Started, b.Updated
	r.Entries, r.Pages, r.Tail, r.Saga = b.Entries, b.Pages, b.Tail, b.Saga
	copy(r.Input[:], b.Input)
	copy(r.Head[:], b.Head)
	return nil
}
