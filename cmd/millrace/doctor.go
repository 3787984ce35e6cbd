package main

import (
	"fmt"

	"github.com/millrace-go/millrace/doctor"
	"github.com/millrace-go/millrace/router"
)

type examine struct {
	Limit int `help:"Tell so many findings at most." default:"1000"`
	Looks int `help:"Tell faults that so many looks in a row find: a store in use seems to have some at times." default:"2"`
}

type report struct {
	Faults    int       `json:"faults"`
	Findings  []finding `json:"findings"`
	More      bool      `json:"more"` // findings than were asked for
	Runs      int64     `json:"runs"`
	Open      int64     `json:"open"`
	Accepted  int64     `json:"accepted"`
	Done      int64     `json:"done"`
	Dead      int64     `json:"dead"`
	Cancelled int64     `json:"cancelled"`
}

type finding struct {
	Kind    doctor.Kind `json:"kind"`
	Fault   bool        `json:"fault"`
	Run     string      `json:"run,omitempty"`
	Message string      `json:"message,omitempty"`
	Text    string      `json:"text"`
}

// Run examines the store, and fails if rows contradict each other.
func (c *examine) Run(s *session) error {
	return s.with(func(r *router.Router) error {
		found, err := doctor.Examine(s.ctx, r.Store(), doctor.Options{Most: c.Limit, Looks: c.Looks})
		if err != nil {
			return err
		}
		rep := reportOf(&found)
		if err := rep.print(s); err != nil {
			return err
		}
		if rep.Faults > 0 {
			return fmt.Errorf("doctor: %d faults found in this store", rep.Faults)
		}
		return nil
	})
}

func reportOf(r *doctor.Report) *report {
	rep := &report{
		Faults: len(r.Faults()), Findings: []finding{}, More: r.Cut, Runs: r.Runs, Open: r.Messages,
		Accepted: r.Accepted, Done: r.Done, Dead: r.Dead, Cancelled: r.Cancels,
	}
	for _, f := range r.Findings {
		rep.Findings = append(rep.Findings, finding{f.Kind, f.Kind.Fault(), f.Run, f.Message, f.Text})
	}
	return rep
}

func (r *report) print(s *session) error {
	if s.flags.JSON {
		return s.document(r)
	}
	if len(r.Findings) > 0 {
		t := newTable(s.out, "FAULT", "KIND", "RUN", "MESSAGE", "TEXT")
		for _, f := range r.Findings {
			t.row(map[bool]string{true: "FAULT"}[f.Fault], f.Kind, f.Run, f.Message, f.Text)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if r.More {
		fmt.Fprintln(s.out, "there is more; see --limit")
	}
	fmt.Fprintf(s.out, "%d runs; %d messages accepted: %d open, %d done, %d dead, %d cancelled\n",
		r.Runs, r.Accepted, r.Open, r.Done, r.Dead, r.Cancelled)
	if r.Faults == 0 {
		fmt.Fprintln(s.out, "no faults")
	}
	return nil
}
