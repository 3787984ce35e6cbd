package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

type showRun struct {
	ID      string `arg:"" help:"Id of the run."`
	Limit   int    `help:"Show so many of what it waits for at most." default:"100"`
	History int    `help:"Show so many of the last entries of its history; 0: all." default:"100"`
}

// runDocument is a run with all that there is to say of it.
type runDocument struct {
	runLine
	Saga         bool            `json:"saga,omitempty"`
	Undos        int             `json:"undos"`
	Result       json.RawMessage `json:"result,omitempty"`
	ResultBytes  []byte          `json:"result_base64,omitempty"`
	State        json.RawMessage `json:"state,omitempty"`
	StateBytes   []byte          `json:"state_base64,omitempty"`
	Waits        waits           `json:"waits"`
	Entries      int             `json:"history_length"`
	History      []entry         `json:"history"` // the last of them
	HistoryError string          `json:"history_error,omitempty"`

	now time.Time
}

// waits is what a run waits for.
type waits struct {
	Messages []openMessage `json:"messages"`
	Joins    []openJoin    `json:"joins"`
	Dead     []deadLine    `json:"dead"`
	More     bool          `json:"more"` // than is shown
}

type openMessage struct {
	Seq     int64     `json:"seq"`
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	Task    string    `json:"task,omitempty"`
	Name    string    `json:"name,omitempty"`
	State   string    `json:"state"` // ready, later, parked, or held
	Due     time.Time `json:"due,omitzero"`
	Key     string    `json:"key,omitempty"`
	Holder  string    `json:"holder,omitempty"` // host and pid
	Attempt int       `json:"failed_attempts"`
}

type openJoin struct {
	Name     string    `json:"name"`
	Mode     string    `json:"mode"`
	Scope    string    `json:"scope,omitempty"`
	Need     int       `json:"need"`
	Missing  []string  `json:"missing,omitempty"`
	Arrived  []string  `json:"arrived,omitempty"`
	Total    int       `json:"total,omitempty"`
	Done     int       `json:"done,omitempty"`
	Failed   int       `json:"failed,omitempty"`
	Deadline time.Time `json:"deadline,omitzero"`
	Then     string    `json:"then"`
	Else     string    `json:"else,omitempty"`
}

// entry is an entry of the history, with times and data as JSON has them.
type entry struct {
	step.Entry
	At          time.Time       `json:"at"`
	Sent        []sent          `json:"sent,omitempty"`
	Records     []note          `json:"records,omitempty"`
	Input       string          `json:"input,omitempty"` // SHA-256 of task and payload of the start
	Result      json.RawMessage `json:"result,omitempty"`
	ResultBytes []byte          `json:"result_base64,omitempty"`
	State       json.RawMessage `json:"state,omitempty"`
	StateBytes  []byte          `json:"state_base64,omitempty"`
}

// note is what a step recorded.
type note struct {
	Kind      string          `json:"kind"`
	Data      json.RawMessage `json:"data,omitempty"`
	DataBytes []byte          `json:"data_base64,omitempty"`
}

type sent struct {
	ID   string    `json:"id"`
	Task string    `json:"task,omitempty"`
	Due  time.Time `json:"due,omitzero"`
}

// Run shows a run.
func (c *showRun) Run(s *session) error {
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

func (c *showRun) read(s *session, r *router.Router) (*runDocument, error) {
	run, err := saga.Find(s.ctx, r, c.ID)
	if err != nil {
		return nil, err
	}
	row, err := run.Status(s.ctx)
	if err != nil {
		return nil, err
	}
	w, err := run.Waits(s.ctx, c.Limit)
	if err != nil {
		return nil, err
	}
	holders, err := holders(s, r)
	if err != nil {
		return nil, err
	}
	d := &runDocument{runLine: lineOf(row), Saga: row.Saga, Undos: row.Undos, Entries: row.Entries, now: w.Now}
	d.Result, d.ResultBytes = split(row.Result)
	d.State, d.StateBytes = split(row.State)
	if d.Waits, err = waitsOf(s, r, &w, holders); err != nil {
		return nil, err
	}
	return d, c.readHistory(s, run, d)
}

// readHistory shows what verifies of a history that does not.
func (c *showRun) readHistory(s *session, run saga.Run, d *runDocument) error {
	entries, err := run.History(s.ctx)
	if err != nil && !errors.Is(err, step.ErrHistory) {
		return err
	}
	if err != nil {
		d.HistoryError = err.Error()
	}
	if c.History > 0 && len(entries) > c.History {
		entries = entries[len(entries)-c.History:]
	}
	d.History = make([]entry, len(entries))
	for i := range entries {
		d.History[i] = entryOf(&entries[i])
	}
	return nil
}

func entryOf(e *step.Entry) entry {
	out := entry{Entry: *e, At: e.At.Time(), Input: hex.EncodeToString(e.Input)}
	for _, m := range e.Sent {
		out.Sent = append(out.Sent, sent{m.ID, m.Task, instant(m.Due)})
	}
	for _, n := range e.Records {
		data, bytes := split(n.Data)
		out.Records = append(out.Records, note{n.Kind, data, bytes})
	}
	out.Result, out.ResultBytes = split(e.Result)
	out.State, out.StateBytes = split(e.State)
	return out
}

// holders names the workers that there are.
func holders(s *session, r *router.Router) (map[int64]string, error) {
	found, err := r.Find(s.ctx, store.Query{Workers: &store.WorkerQuery{}})
	names := map[int64]string{}
	for _, w := range found.Workers {
		names[w.Key] = fmt.Sprintf("%s pid %d", w.Host, w.PID)
	}
	return names, err
}

func waitsOf(s *session, r *router.Router, w *saga.Waits, holders map[int64]string) (waits, error) {
	out := waits{Messages: []openMessage{}, Joins: []openJoin{}, Dead: []deadLine{}, More: w.More}
	for _, m := range w.Messages {
		out.Messages = append(out.Messages, messageOf(m, w.Now, holders))
	}
	for _, j := range w.Joins {
		out.Joins = append(out.Joins, openJoin(j))
	}
	for _, d := range w.Dead {
		line, err := deadLineOf(s, r, d)
		if err != nil {
			return out, err
		}
		out.Dead = append(out.Dead, line)
	}
	return out, nil
}

func messageOf(m *store.Message, now time.Time, holders map[int64]string) openMessage {
	o := openMessage{
		Seq: m.Seq, ID: m.ID, Kind: m.Kind.String(), Task: m.Task, Name: m.Name, State: "ready",
		Due: instant(m.Due), Key: m.Key, Attempt: m.Attempt,
	}
	switch {
	case m.Held():
		o.State, o.Holder = "held", holders[m.Worker]
	case m.Due == store.Never:
		o.State = "parked"
	case o.Due.After(now):
		o.State = "later"
	}
	return o
}
