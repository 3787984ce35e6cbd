package step

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/millrace-go/millrace/internal/body"
	"github.com/millrace-go/millrace/store"
)

// pageSize is how long a run's tail of history grows, in bytes, before it is
// moved to a page of its own. Short runs never have one: their history costs
// no row.
const pageSize = 2 << 10

// maxNames is how many names of one sort an entry lists; it counts the rest.
const maxNames = 16

// Entry is one entry of a run's history: what an outcome did to the run.
type Entry struct {
	Kind    string        `cbor:"1,keyasint" json:"kind"`
	At      store.Instant `cbor:"2,keyasint" json:"at"`
	Message string        `cbor:"3,keyasint,omitempty" json:"message,omitempty"`
	Task    string        `cbor:"4,keyasint,omitempty" json:"task,omitempty"`
	Attempt int           `cbor:"5,keyasint,omitempty" json:"attempt,omitempty"`
	Worker  int64         `cbor:"6,keyasint,omitempty" json:"worker,omitempty"`
	Error   string        `cbor:"7,keyasint,omitempty" json:"error,omitempty"`

	Sent      []Sent   `cbor:"8,keyasint,omitempty" json:"sent,omitempty"`
	More      int      `cbor:"9,keyasint,omitempty" json:"more,omitempty"` // sent or dropped, and not listed
	Emits     []string `cbor:"10,keyasint,omitempty" json:"emits,omitempty"`
	Opened    []string `cbor:"11,keyasint,omitempty" json:"opened,omitempty"`       // joins
	Fired     []string `cbor:"12,keyasint,omitempty" json:"fired,omitempty"`        // joins that fired or met their deadline
	Dropped   []string `cbor:"13,keyasint,omitempty" json:"dropped,omitempty"`      // messages and joins
	Cancelled []string `cbor:"14,keyasint,omitempty" json:"cancelled,omitempty"`    // by name, in time
	Moved     []string `cbor:"15,keyasint,omitempty" json:"moved,omitempty"`        // by name, in time
	Missed    []string `cbor:"16,keyasint,omitempty" json:"missed,omitempty"`       // by name, too late
	Records   []Note   `cbor:"17,keyasint,omitempty" json:"records,omitempty"`      // of Record
	Input     []byte   `cbor:"18,keyasint,omitempty" json:"input,omitempty"`        // hash of the start
	State     []byte   `cbor:"19,keyasint,omitempty" json:"state,omitempty"`        // new state
	Revision  int      `cbor:"20,keyasint,omitempty" json:"revision,omitempty"`     // of State
	Result    []byte   `cbor:"21,keyasint,omitempty" json:"result,omitempty"`       // of a run that finished
	Reason    string   `cbor:"22,keyasint,omitempty" json:"reason,omitempty"`       // Run.Error, when it changed
	Status    string   `cbor:"23,keyasint,omitempty" json:"status,omitempty"`       // when it changed
	Open      int      `cbor:"24,keyasint,omitempty" json:"open,omitempty"`         // by how much it changed
	Waiting   int      `cbor:"25,keyasint,omitempty" json:"waiting,omitempty"`      // by how much
	Dead      int      `cbor:"26,keyasint,omitempty" json:"dead_letters,omitempty"` // by how much
	Undos     int      `cbor:"27,keyasint,omitempty" json:"undos,omitempty"`        // by how much
}

// Sent is a message that an outcome brought forth.
type Sent struct {
	ID   string        `cbor:"1,keyasint" json:"id"`
	Task string        `cbor:"2,keyasint,omitempty" json:"task,omitempty"`
	Due  store.Instant `cbor:"3,keyasint,omitempty" json:"due,omitempty"`
}

// Note is what an author records in the history.
type Note struct {
	Kind string `cbor:"1,keyasint" json:"kind"`
	Data []byte `cbor:"2,keyasint,omitempty" json:"data,omitempty"`
}

// appendTo encodes e behind b, see package body.
func (e *Entry) appendTo(b []byte) []byte {
	w := body.Begin(b)
	w.AlwaysText(1, e.Kind)
	w.Always(2, int64(e.At))
	w.Text(3, e.Message)
	w.Text(4, e.Task)
	w.Int(5, int64(e.Attempt))
	w.Int(6, e.Worker)
	w.Text(7, e.Error)
	if len(e.Sent) > 0 {
		w.List(8, len(e.Sent))
		for i := range e.Sent {
			item := w.Item()
			item.AlwaysText(1, e.Sent[i].ID)
			item.Text(2, e.Sent[i].Task)
			item.Int(3, int64(e.Sent[i].Due))
			w.Put(&item)
		}
	}
	w.Int(9, int64(e.More))
	w.Texts(10, e.Emits)
	w.Texts(11, e.Opened)
	w.Texts(12, e.Fired)
	w.Texts(13, e.Dropped)
	w.Texts(14, e.Cancelled)
	w.Texts(15, e.Moved)
	w.Texts(16, e.Missed)
	if len(e.Records) > 0 {
		w.List(17, len(e.Records))
		for i := range e.Records {
			item := w.Item()
			item.AlwaysText(1, e.Records[i].Kind)
			item.Bytes(2, e.Records[i].Data)
			w.Put(&item)
		}
	}
	w.Bytes(18, e.Input)
	w.Bytes(19, e.State)
	w.Int(20, int64(e.Revision))
	w.Bytes(21, e.Result)
	w.Text(22, e.Reason)
	w.Text(23, e.Status)
	w.Int(24, int64(e.Open))
	w.Int(25, int64(e.Waiting))
	w.Int(26, int64(e.Dead))
	w.Int(27, int64(e.Undos))
	return w.End()
}

func (e *Entry) sent(m *store.Message) {
	if len(e.Sent) >= maxNames {
		e.More++
		return
	}
	to := m.Task
	if to == "" {
		to = m.Topic
	}
	e.Sent = append(e.Sent, Sent{ID: m.ID, Task: to, Due: m.Due})
}

// record appends an entry to a run's history, with what changed since the
// last one.
func (v *view) record(r *runView, e *Entry) {
	e.At, e.Worker = v.nowOf(r), v.env.Worker
	e.Open, e.Waiting = r.Open-r.was.open, r.Waiting-r.was.waiting
	e.Dead, e.Undos = r.Dead-r.was.dead, r.Undos-r.was.undos
	if r.Status != r.was.status {
		e.Status = r.Status.String()
		if r.Status == store.Finished {
			e.Result = r.Result
		}
	}
	if r.Error != r.was.reason {
		e.Reason = r.Error
	}
	e.Fired = e.names(r.fired)
	e.Dropped = e.names(r.dropped)
	r.fired, r.dropped = nil, nil
	r.Updated, r.changed = e.At, true
	v.append(r, e)
	r.was = ledgerOf(&r.Run)
}

// nowOf is the time in a run's history: it stands still while a clock that was
// ahead, by an hour or by a millisecond, is behind what it said before.
func (v *view) nowOf(r *runView) store.Instant { return max(v.now(), r.Updated) }

func (e *Entry) names(list []string) []string {
	if len(list) > maxNames {
		e.More += len(list) - maxNames
		list = list[:maxNames]
	}
	return list
}

func (v *view) append(r *runView, e *Entry) {
	v.entry = e.appendTo(v.entry[:0])
	r.Head = chain(r.Head, v.entry)
	tail := make([]byte, 0, len(r.Tail)+binary.MaxVarintLen32+len(v.entry)+len(r.Head)) // others have the old one
	tail = append(tail, r.Tail...)
	tail = binary.AppendUvarint(tail, uint64(len(v.entry)))
	tail = append(tail, v.entry...)
	r.Tail = append(tail, r.Head[:]...)
	r.Entries++
	if len(r.Tail) > pageSize {
		v.put(store.Page, Owner(r.Key, ""), store.Num(int64(r.Pages)), &PageRow{Entries: r.Tail})
		r.Pages++
		r.Tail = nil
	}
}

// chain is SHA-256 over the hash of the entry before and the entry.
func chain(head [32]byte, body []byte) [32]byte {
	buf := make([]byte, 0, 512)
	buf = append(buf, head[:]...)
	buf = append(buf, body...)
	return sha256.Sum256(buf)
}

// PageRow is a full page of a run's history.
type PageRow struct {
	Entries []byte `cbor:"1,keyasint"` // each: its length as a uvarint, the entry, its hash
}
