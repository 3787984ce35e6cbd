package postgres

import (
	"bytes"
	"database/sql/driver"

	"github.com/millrace-go/millrace/store"
)

// The columns of a row are int64, string, []byte or nil. Bytes are the
// connection's and change with the next row.

func integer(v driver.Value) int64 {
	n, _ := v.(int64)
	return n
}

func text(v driver.Value) string {
	switch s := v.(type) {
	case string:
		return s
	case []byte: // of an enum or another type that lib/pq does not know
		return string(s)
	}
	return ""
}

func blob(v driver.Value) []byte {
	b, _ := v.([]byte)
	return b
}

func instant(v driver.Value) store.Instant { return store.Instant(integer(v)) }

// dueOf reads a due time, which is negated once a grab has seen that the
// message is due.
func dueOf(v driver.Value) store.Instant {
	due := instant(v)
	if due < 0 {
		return -due
	}
	return due
}

// messageOf reads seq, run, due, priority, worker, published, topic, name, body.
func messageOf(row []driver.Value) (*store.Message, error) {
	m := &store.Message{
		Seq:       integer(row[0]),
		Run:       integer(row[1]),
		Due:       dueOf(row[2]),
		Priority:  int16(integer(row[3])),
		Worker:    integer(row[4]),
		Published: int(integer(row[5])),
		Topic:     text(row[6]),
		Name:      text(row[7]),
	}
	return m, m.UnmarshalBody(blob(row[8]))
}

// runOf reads key, status, ended, id, name, body.
func runOf(row []driver.Value) (*store.Run, error) {
	r := &store.Run{
		Key:    integer(row[0]),
		Status: store.Status(integer(row[1])),
		Ended:  instant(row[2]),
		ID:     text(row[3]),
		Name:   text(row[4]),
	}
	return r, r.UnmarshalBody(blob(row[5]))
}

// rowOf reads kind, until, owner, name, body.
func rowOf(row []driver.Value) *store.Row {
	r := &store.Row{
		RowKey: store.RowKey{Kind: store.RowKind(integer(row[0])), Owner: text(row[2]), Name: text(row[3])},
		Until:  instant(row[1]),
	}
	if body := blob(row[4]); len(body) > 0 {
		r.Body = bytes.Clone(body)
	}
	return r
}

// workerOf reads key, host, boot, pidns, pid, born, started, until.
func workerOf(row []driver.Value) store.Worker {
	return store.Worker{
		Key:     integer(row[0]),
		Host:    text(row[1]),
		Boot:    text(row[2]),
		PidNS:   text(row[3]),
		PID:     int(integer(row[4])),
		Born:    text(row[5]),
		Started: instant(row[6]),
		Until:   instant(row[7]),
	}
}
