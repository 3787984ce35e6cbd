package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

type listDead struct {
	Of    string `name:"run" help:"Only of this run." placeholder:"ID"`
	After int64  `help:"Only behind the dead letter of this number." placeholder:"SEQ"`
	Limit int    `help:"List so many at most; 0: all." default:"50"`
}

// deadLine is a dead letter as it is listed.
type deadLine struct {
	Seq      int64     `json:"seq"`
	ID       string    `json:"id"`
	Task     string    `json:"task,omitempty"`
	Topic    string    `json:"topic"`
	Run      string    `json:"run,omitempty"`
	At       time.Time `json:"at"`
	Attempts int       `json:"failed_attempts"`
	Status   string    `json:"run_status,omitempty"`
	Reason   string    `json:"reason"`
}

// deadLineOf lists a dead letter. Its run may have been purged since.
func deadLineOf(s *session, r *router.Router, d saga.DeadLetter) (deadLine, error) {
	m := &d.Message
	l := deadLine{
		Seq: d.Seq, ID: m.ID, Task: m.Task, Topic: m.Topic, Run: m.RunID, At: d.At, Attempts: m.Tries, Reason: d.Reason,
	}
	if m.Run == 0 {
		return l, nil
	}
	found, err := r.Find(s.ctx, store.Query{Runs: &store.RunQuery{Key: m.Run}})
	if err == nil && len(found.Runs) > 0 {
		l.Status = found.Runs[0].Status.String()
	}
	return l, err
}

var deadHead = []string{"SEQ", "AT", "TASK", "RUN", "STATUS", "FAILED", "REASON"}

func (l *deadLine) row(t *table) {
	task := l.Task
	if task == "" {
		task = l.Topic
	}
	t.row(l.Seq, moment(l.At), task, l.Run, l.Status, l.Attempts, clip(l.Reason, 80))
}

// Run lists dead letters.
func (c *listDead) Run(s *session) error {
	return s.with(func(r *router.Router) error { return c.list(s, r) })
}

func (c *listDead) list(s *session, r *router.Router) error {
	t, n := newTable(s.out, deadHead...), 0
	var damaged []error
	for d, err := range saga.DeadLetters(s.ctx, r, c.After) {
		switch {
		case errors.Is(err, store.ErrCorrupt):
			damaged = append(damaged, err)
			continue
		case err != nil:
			return err
		case c.Of != "" && d.Message.RunID != c.Of:
			continue
		}
		if n++; c.Limit > 0 && n > c.Limit {
			break
		}
		l, err := deadLineOf(s, r, d)
		if err != nil {
			return err
		}
		if !s.flags.JSON {
			l.row(t)
		} else if err := s.line(l); err != nil {
			return err
		}
	}
	if !s.flags.JSON {
		damaged = append(damaged, t.flush())
	}
	return errors.Join(damaged...)
}

type showDead struct {
	Seq int64 `arg:"" help:"Number of the dead letter."`
}

// deadDocument is a dead letter with all that there is to say of it.
type deadDocument struct {
	deadLine
	Due          time.Time         `json:"due,omitzero"`
	Priority     int16             `json:"priority,omitempty"`
	Key          string            `json:"key,omitempty"`
	Undo         int               `json:"undo,omitempty"`
	Joined       bool              `json:"joined,omitempty"` // sent by a join: the payload is in its encoding
	Meta         map[string]string `json:"meta,omitempty"`
	Payload      json.RawMessage   `json:"payload,omitempty"`
	PayloadBytes []byte            `json:"payload_base64,omitempty"`
	Failures     []failure         `json:"attempts"`
	Edits        []edit            `json:"edits"`
}

type failure struct {
	Number int       `json:"number"`
	At     time.Time `json:"at"`
	Host   string    `json:"host"`
	PID    int       `json:"pid"`
	Error  string    `json:"error"`
	Stack  string    `json:"stack,omitempty"`
}

// edit is a payload that the message had before.
type edit struct {
	At           time.Time       `json:"at"`
	Attempts     int             `json:"failed_attempts"`
	Payload      json.RawMessage `json:"payload,omitempty"`
	PayloadBytes []byte          `json:"payload_base64,omitempty"`
}

// Run shows a dead letter.
func (c *showDead) Run(s *session) error {
	return s.with(func(r *router.Router) error {
		d, err := c.read(s, r)
		if err != nil {
			return err
		}
		if s.flags.JSON {
			return s.document(d)
		}
		return d.print(s)
	})
}

func (c *showDead) read(s *session, r *router.Router) (*deadDocument, error) {
	d, err := saga.FindDeadLetter(s.ctx, r, c.Seq)
	if err != nil {
		return nil, err
	}
	failures, err := d.Failures(s.ctx, r)
	if err != nil {
		return nil, err
	}
	edits, err := d.Edits(s.ctx, r)
	if err != nil {
		return nil, err
	}
	line, err := deadLineOf(s, r, d)
	if err != nil {
		return nil, err
	}
	m := &d.Message
	doc := &deadDocument{
		deadLine: line, Due: instant(m.Due), Priority: m.Priority, Key: m.Key, Undo: m.Undo, Joined: m.Joined, Meta: m.Meta,
		Failures: []failure{}, Edits: []edit{},
	}
	doc.Payload, doc.PayloadBytes = split(m.Payload)
	for _, f := range failures {
		doc.Failures = append(doc.Failures, failure(f))
	}
	for _, e := range edits {
		text, bytes := split(e.Payload)
		doc.Edits = append(doc.Edits, edit{e.At, e.Attempts, text, bytes})
	}
	return doc, nil
}

func (d *deadDocument) print(s *session) error {
	t := newTable(s.out, deadHead...)
	d.row(t)
	if err := t.flush(); err != nil {
		return err
	}
	if d.Undo > 0 {
		fmt.Fprintf(s.out, "\nundo %d of its run\n", d.Undo)
	}
	if d.Key != "" {
		fmt.Fprintf(s.out, "\nexclusive key %s\n", clean(d.Key))
	}
	for _, k := range slices.Sorted(maps.Keys(d.Meta)) {
		fmt.Fprintf(s.out, "\nmetadata %s: %s\n", clean(k), clean(d.Meta[k]))
	}
	fmt.Fprintln(s.out, "\npayload"+map[bool]string{true: ", in the encoding of a join"}[d.Joined])
	block(s.out, shown(append(d.Payload, d.PayloadBytes...)))
	for _, f := range d.Failures {
		fmt.Fprintf(s.out, "\nattempt %d, %s, on %s pid %d\n", f.Number, moment(f.At), clean(f.Host), f.PID)
		block(s.out, f.Error)
		if f.Stack != "" {
			block(s.out, f.Stack)
		}
	}
	for _, e := range d.Edits {
		fmt.Fprintf(s.out, "\nedited %s, after %d attempts; the payload was\n", moment(e.At), e.Attempts)
		block(s.out, shown(append(e.Payload, e.PayloadBytes...)))
	}
	return nil
}
