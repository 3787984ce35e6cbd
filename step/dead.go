package step

import (
	"fmt"

	"github.com/millrace-go/millrace/store"
)

func deadKey(seq int64) store.RowKey {
	return store.RowKey{Kind: store.Dead, Name: store.Num(seq)}
}

// requeue sends a dead letter again, as a new message with the old id and all
// its attempts.
func (v *view) requeue(op *DeadOp) Verdict {
	row := v.exhume(op)
	if row == nil {
		return Verdict{Code: Missing}
	}
	m := row.Message
	entry := &Entry{Kind: "requeued", Message: m.ID, Task: m.Task}
	if op.Payload != nil {
		n := store.Num(int64(m.Tries))
		v.put(store.Edit, m.ID, n, &EditRow{At: v.now(), Payload: m.Payload})
		entry.Records = []Note{{"edited, was", m.Payload}}
		m.Payload = *op.Payload
	}
	m.Seq, m.Attempt, m.First, m.Staged = v.seq(), 0, 0, 0
	m.Name = "" // the timer's time had come
	m.Due = v.due(op.At, 0)
	r := v.runOf(&m)
	if m.Run != 0 && (r == nil || r.Status.Stopped() && m.Undo == 0) {
		panic(errInvalid{fmt.Errorf("run %s has ended, or is about to: its dead letters can be discarded only", m.RunID)})
	}
	v.hand(&m)
	if r == nil {
		return Verdict{Code: Applied, Message: &m}
	}
	if row.Open {
		r.Dead--
	} else {
		m.Join = ""
		r.Open++
	}
	entry.sent(&m)
	v.settle(r, entry)
	return Verdict{Code: Applied, Message: &m}
}

// exhume takes a dead letter out of its row.
func (v *view) exhume(op *DeadOp) *DeadRow {
	key := deadKey(op.Seq)
	row := get[DeadRow](v, key.Kind, key.Owner, key.Name)
	if row == nil {
		return nil
	}
	v.delete(key.Kind, key.Owner, key.Name)
	v.counts.Dead--
	return row
}

// discard gives a dead letter up. Its run goes on without it.
func (v *view) discard(op *DeadOp) Verdict {
	row := v.exhume(op)
	if row == nil {
		return Verdict{Code: Missing}
	}
	m := &row.Message
	v.counts.Cancelled++
	v.clearAttempts(m)
	r := v.runOf(m)
	if r == nil {
		return Verdict{Code: Applied}
	}
	if row.Holds(&r.Run) {
		r.Dead--
		v.leave(r, m, ResultRow{})
	}
	v.settle(r, &Entry{Kind: "discarded", Message: m.ID, Task: m.Task, Error: op.Reason})
	return Verdict{Code: Applied}
}
