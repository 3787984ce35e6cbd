package main

import (
	"fmt"
	"strings"
)

// print shows a run to people.
func (d *runDocument) print(s *session) error {
	d.printHead(s)
	for _, part := range []func(*session) error{d.printMessages, d.printJoins, d.printDead, d.printHistory} {
		if err := part(s); err != nil {
			return err
		}
	}
	return nil
}

func (d *runDocument) printHead(s *session) {
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(s.out, "%-9s %s\n", name, clean(value))
		}
	}
	field("run", d.ID)
	field("task", d.Task)
	field("status", d.Status)
	field("open", fmt.Sprintf("%d, of these dead letters: %d", d.Open, d.Dead))
	field("undos", fmt.Sprint(d.Undos))
	field("started", moment(d.Started))
	field("updated", moment(d.Updated))
	field("ended", moment(d.Ended))
	field("error", d.Error)
	if len(d.Result)+len(d.ResultBytes) > 0 {
		field("result", shown(append(d.Result, d.ResultBytes...)))
	}
	if len(d.State)+len(d.StateBytes) > 0 {
		field("state", shown(append(d.State, d.StateBytes...)))
	}
}

func (d *runDocument) printMessages(s *session) error {
	if len(d.Waits.Messages) == 0 {
		return nil
	}
	fmt.Fprintln(s.out, "\nopen messages")
	t := newTable(s.out, "MESSAGE", "TASK", "NAME", "FAILED", "WAITS FOR")
	for _, m := range d.Waits.Messages {
		task := m.Task
		if task == "" {
			task = "(" + m.Kind + ")"
		}
		t.row(m.ID, task, m.Name, m.Attempt, d.reason(m))
	}
	return t.flush()
}

// reason says in words what a message waits for.
func (d *runDocument) reason(m openMessage) string {
	switch m.State {
	case "held":
		return "its handler; held by " + m.Holder
	case "parked":
		return "key " + m.Key
	case "later":
		return moment(m.Due) + ", " + away(m.Due, d.now)
	}
	return "a worker"
}

func (d *runDocument) printJoins(s *session) error {
	if len(d.Waits.Joins) == 0 {
		return nil
	}
	fmt.Fprintln(s.out, "\nopen joins")
	t := newTable(s.out, "JOIN", "THEN", "MISSING", "ARRIVED", "DEADLINE", "ELSE")
	for _, j := range d.Waits.Joins {
		deadline := ""
		if !j.Deadline.IsZero() {
			deadline = moment(j.Deadline) + ", " + away(j.Deadline, d.now)
		}
		t.row(j.label(), j.Then, j.missing(), j.arrived(), deadline, j.Else)
	}
	return t.flush()
}

func (j *openJoin) label() string {
	name := j.Name
	if strings.HasPrefix(name, "#") {
		name = "(no name)"
	}
	if j.Scope != "" {
		name += " in " + j.Scope
	}
	return name
}

func (j *openJoin) missing() string {
	switch {
	case j.Mode == "fork":
		return fmt.Sprintf("%d of %d children", j.Need, j.Total)
	case j.Need < len(j.Missing):
		return fmt.Sprintf("%d of %s", j.Need, strings.Join(j.Missing, ", "))
	}
	return strings.Join(j.Missing, ", ")
}

func (j *openJoin) arrived() string {
	if j.Mode == "fork" {
		return fmt.Sprintf("%d done, %d failed", j.Done, j.Failed)
	}
	return strings.Join(j.Arrived, ", ")
}

func (d *runDocument) printDead(s *session) error {
	if len(d.Waits.Dead) == 0 {
		return nil
	}
	fmt.Fprintln(s.out, "\ndead letters")
	t := newTable(s.out, deadHead...)
	for _, l := range d.Waits.Dead {
		l.row(t)
	}
	return t.flush()
}

func (d *runDocument) printHistory(s *session) error {
	if d.Waits.More {
		fmt.Fprintln(s.out, "\nit waits for more; see --limit")
	}
	fmt.Fprintf(s.out, "\nhistory, %d of %d entries\n", len(d.History), d.Entries)
	t := newTable(s.out, "TIME", "ENTRY", "TASK", "STATUS", "WHAT")
	for i := range d.History {
		e := &d.History[i]
		t.row(moment(e.At), e.Kind, e.Task, e.Status, clip(e.what(), 120))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if d.HistoryError != "" {
		fmt.Fprintln(s.out, "the history is damaged: "+clean(d.HistoryError))
	}
	return nil
}

// what says in words what happened.
func (e *entry) what() string {
	var parts []string
	add := func(verb string, names []string) {
		if len(names) > 0 {
			parts = append(parts, verb+" "+strings.Join(names, ", "))
		}
	}
	var tasks []string
	for _, m := range e.Sent {
		tasks = append(tasks, m.Task)
	}
	add("sent", tasks)
	add("emitted", e.Emits)
	add("opened", e.Opened)
	add("fired", e.Fired)
	add("dropped", e.Dropped)
	add("cancelled", e.Cancelled)
	add("moved", e.Moved)
	add("too late for", e.Missed)
	if e.More > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", e.More))
	}
	for _, n := range e.Records {
		parts = append(parts, n.Kind)
	}
	if e.Error != "" {
		parts = append(parts, e.Error)
	}
	return strings.Join(parts, "; ")
}
