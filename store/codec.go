package store

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
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

// MarshalBody encodes what of m is not a column.
func (m *Message) MarshalBody() ([]byte, error) {
	return encMode.Marshal(&messageBody{
		Kind:    m.Kind,
		ID:      m.ID,
		RunID:   m.RunID,
		Task:    m.Task,
		Join:    m.Join,
		Index:   m.Index,
		Joined:  m.Joined,
		Key:     m.Key,
		Saga:    m.Saga,
		Undo:    m.Undo,
		Attempt: m.Attempt,
		Tries:   m.Tries,
		First:   m.First,
		Staged:  m.Staged,
		Scope:   m.Scope,
		Number:  m.Number,
		Payload: m.Payload,
		Meta:    m.Meta,
		Home:    m.Home,
		HomeSeq: m.HomeSeq,
		Lent:    m.Lent,
	})
}

// UnmarshalBody fills what of m is not a column. The error wraps [ErrCorrupt].
func (m *Message) UnmarshalBody(body []byte) error {
	var b messageBody
	if err := Unmarshal(body, &b); err != nil {
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

// MarshalBody encodes what of r is not a column.
func (r *Run) MarshalBody() ([]byte, error) {
	return encMode.Marshal(&runBody{
		Slot: r.Slot, Version: r.Version, Open: r.Open, Waiting: r.Waiting, Dead: r.Dead, Undos: r.Undos,
		State: r.State, Revision: r.Revision, Result: r.Result, Error: r.Error, Cancel: r.Cancel,
		Nonce: r.Nonce, Input: r.Input[:], OnDead: r.OnDead, Started: r.Started, Updated: r.Updated,
		Entries: r.Entries, Head: r.Head[:], Pages: r.Pages, Tail: r.Tail, Saga: r.Saga,
	})
}

// UnmarshalBody fills what of r is not a column. The error wraps [ErrCorrupt].
func (r *Run) UnmarshalBody(body []byte) error {
	var b runBody
	if err := Unmarshal(body, &b); err != nil {
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
