package sqlite

import (
	"database/sql/driver"

	"github.com/millrace-go/millrace/store"
)

// The columns of a row are int64, string, []byte or nil; empty bytes come back
// as nil.

func integer(v driver.Value) int64 {
	n, _ := v.(int64)
	return n
}

func text(v driver.Value) string {
	s, _ := v.(string)
	return s
}

func blob(v driver.Value) []byte {
	b, _ := v.([]byte)
	return b
}

func instant(v driver.Value) store.Instant { return store.Instant(integer(v)) }

// nullable keeps messages without a name out of the index of names.
func nullable(s string) driver.Value {
	if s == "" {
		return nil
	}
	return s
}

// filled makes nil an empty value, since body columns are never null.
func filled(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// dueOf reads a due time, which is negated once a grab has seen that the
// message is due.
func dueOf(v driver.Value) store.Instant {
	due := instant(v)
	if due < 0 {
		return -due
	}
	return due
}

// messageOf reads seq, topic, run, name, due, priority, worker, published, body.
func messageOf(row []driver.Value) (*store.Message, error) {
	m := &store.Message{
		Seq:      integer(row[0]),
		Topic:    text(row[1]),
		Run:      integer(row[2]),
		Name:     text(row[3]),
		Due:      dueOf(row[4]),
		Priority: int16(integer(row[5])),
		Worker:   integer(row[6]),

		Published: int(integer(row[7])),
	}
	return m, m.UnmarshalBody(blob(row[8]))
}

// runOf reads key, id, name, status, ended, body.
func runOf(row []driver.Value) (*store.Run, error) {
	r := &store.Run{
		Key:    integer(row[0]),
		ID:     text(row[1]),
		Name:   text(row[2]),
		Status: store.Status(integer(row[3])),
		Ended:  instant(row[4]),
	}
	return r, r.UnmarshalBody(blob(row[5]))
}

// rowOf reads kind, owner, name, until, body.
func rowOf(row []driver.Value) *store.Row {
	return &store.Row{
		RowKey: store.RowKey{Kind: store.RowKind(integer(row[0])), Owner: text(row[1]), Name: text(row[2])},
		Until:  instant(row[3]),
		Body:   blob(row[4]),
	}
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
