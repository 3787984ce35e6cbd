package step

import (
	"fmt"

	"github.com/millrace-go/millrace/store"
)

// Longest texts that are kept of a failure, in bytes.
const (
	maxErrorText = 4 << 10
	maxStack     = 16 << 10
)

// retry stores a failed attempt; the message is due again after its delay.
func (v *view) retry(m *store.Message, o *Outcome) {
	r := v.runOf(m)
	if r != nil && r.Status.Stopped() && m.Kind == store.Task && m.Undo == 0 {
		v.drop(m)
		return
	}
	v.attempt(m, o.Failure)
	v.unstage(m)
	v.unlock(m)
	m.Due = v.due(0, o.Delay.Microseconds())
	v.hand(m)
	if r != nil {
		v.settle(r, &Entry{Kind: "attempt", Message: m.ID, Task: m.Task, Attempt: m.Attempt, Error: o.Failure.text()})
	}
}

func (v *view) runOf(m *store.Message) *runView {
	if m.Run == 0 {
		return nil
	}
	return v.run(m.Run)
}

func (v *view) attempt(m *store.Message, f *Failure) {
	m.Attempt++
	m.Tries++
	if m.First == 0 {
		m.First = v.now()
	}
	if m.Kind != store.Task { // nobody's handler: the count will do
		return
	}
	row := &AttemptRow{Number: m.Tries, At: v.now(), Host: v.env.Host, PID: v.env.PID, Text: f.text()}
	if f != nil {
		row.Stack = clip(f.Stack, maxStack)
	}
	v.put(store.Attempt, m.ID, store.Num(int64(m.Tries)), row)
}

func (f *Failure) text() string {
	if f == nil {
		return ""
	}
	return clip(f.Text, maxErrorText)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + " [cut]"
}

// reject makes a message a dead letter.
func (v *view) reject(m *store.Message, o *Outcome) {
	if m.Home != "" && m.Run == 0 {
		v.away(m, o)
		return
	}
	v.goHome(m, &Homeward{})
	r := v.runOf(m)
	v.attempt(m, o.Failure)
	v.unstage(m)
	v.deleteMessage(m.Seq)
	v.counts.Dead++
	row := &DeadRow{Message: *m, At: v.now(), Reason: o.Failure.text()}
	row.Message.Worker = 0
	if r != nil {
		v.bury(r, m, row)
	}
	v.put(store.Dead, "", store.Num(m.Seq), row)
	if r != nil {
		v.settle(r, &Entry{Kind: "dead", Message: m.ID, Task: m.Task, Attempt: m.Attempt, Error: row.Reason})
	}
	v.unlock(m)
}

// bury does to the run what the author chose for its dead letters. The letter
// of a fork's child leaves the run at once: the join has it as failed.
func (v *view) bury(r *runView, m *store.Message, row *DeadRow) {
	switch {
	case m.Undo > 0:
		r.Error += fmt.Sprintf("; undo %d (%s) is a dead letter: %s", m.Undo, m.Task, row.Reason)
		row.Open = true
	case r.Status.Stopped() || m.Join != "":
		v.leave(r, m, ResultRow{Failed: true, Error: row.Reason})
	case OnDead(r.OnDead) == LeaveOpen:
		row.Open = true
	default:
		v.leave(r, m, ResultRow{Failed: true, Error: row.Reason})
		v.failFor(r, fmt.Sprintf("%s is a dead letter: %s", m.Task, row.Reason))
	}
	if row.Open {
		r.Dead++
	}
}

// failFor fails a run for a dead letter. Without undos it ends at once: those
// that steps in flight register don't count either.
func (v *view) failFor(r *runView, reason string) {
	if OnDead(r.OnDead) == Compensate {
		v.fail(r, reason, false, 0)
		return
	}
	r.Error, r.Undos = reason, 0
	v.close(r, store.Failed)
	v.stop(r, 0)
}

// drop cancels a message whose run takes no steps any more.
func (v *view) drop(m *store.Message) {
	v.cancel(m)
	v.unlock(m)
	r := v.runOf(m)
	if r == nil {
		return
	}
	r.dropped = append(r.dropped, m.ID)
	v.leave(r, m, ResultRow{Failed: true})
	v.settle(r, &Entry{Kind: "dropped", Message: m.ID, Task: m.Task})
}

// release gives a message back: its handler was not entered.
func (v *view) release(m *store.Message) {
	m.Worker = 0
	if m.Published > 0 {
		m.Published, m.Due = 0, 0
	}
	v.putMessage(m)
	v.res.Free = append(v.res.Free, Wake{m.Topic, m.Due})
}
