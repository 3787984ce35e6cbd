package main

import (
	"fmt"
	"time"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

type listRuns struct {
	Status []string `help:"Only runs of these states: running, stalled, failing, finished, failed, cancelled."`
	Limit  int      `help:"List so many at most; 0: all." default:"50"`
	Newest bool     `help:"Newest first."`
}

// runLine is a run as it is listed.
type runLine struct {
	ID      string    `json:"id"`
	Task    string    `json:"task"`
	Status  string    `json:"status"`
	Open    int       `json:"open"`
	Dead    int       `json:"dead"`
	Started time.Time `json:"started"`
	Updated time.Time `json:"updated"`
	Ended   time.Time `json:"ended,omitzero"`
	Error   string    `json:"error,omitempty"`
}

func lineOf(r *store.Run) runLine {
	return runLine{
		ID: r.ID, Task: r.Name, Status: r.Status.String(), Open: r.Open, Dead: r.Dead,
		Started: instant(r.Started), Updated: instant(r.Updated), Ended: instant(r.Ended), Error: r.Error,
	}
}

// Run lists runs.
func (c *listRuns) Run(s *session) error {
	q := store.RunQuery{Newest: c.Newest}
	for _, name := range c.Status {
		st, err := store.ParseStatus(name)
		if err != nil {
			return err
		}
		q.Status = append(q.Status, st)
	}
	return s.with(func(r *router.Router) error { return c.list(s, r, q) })
}

func (c *listRuns) list(s *session, r *router.Router, q store.RunQuery) error {
	t := newTable(s.out, "RUN", "TASK", "STATUS", "OPEN", "DEAD", "STARTED", "UPDATED", "ERROR")
	n := 0
	for run, err := range saga.Runs(s.ctx, r, q) {
		if err != nil {
			return err
		}
		if n++; c.Limit > 0 && n > c.Limit {
			break
		}
		l := lineOf(run)
		if !s.flags.JSON {
			t.row(l.ID, l.Task, l.Status, l.Open, l.Dead, moment(l.Started), moment(l.Updated), clip(l.Error, 60))
			continue
		}
		if err := s.line(l); err != nil {
			return err
		}
	}
	if s.flags.JSON {
		return nil
	}
	return t.flush()
}

type cancelRun struct {
	ID     string `arg:"" help:"Id of the run."`
	Reason string `required:"" help:"Why; the run's history keeps it."`
}

// Run cancels a run that goes on.
func (c *cancelRun) Run(s *session) error {
	return s.with(func(r *router.Router) error {
		run, err := saga.Find(s.ctx, r, c.ID)
		if err != nil {
			return err
		}
		before, err := run.Status(s.ctx)
		if err != nil {
			return err
		}
		if before.Status.Stopped() {
			return fmt.Errorf("run %s is %s already", c.ID, before.Status)
		}
		if err := run.Cancel(s.ctx, c.Reason); err != nil {
			return err
		}
		after, err := run.Status(s.ctx)
		if err != nil {
			return err
		}
		return c.tell(s, after)
	})
}

func (c *cancelRun) tell(s *session, r *store.Run) error {
	switch {
	case s.flags.JSON:
		return s.document(lineOf(r))
	case r.Status.Closed():
		fmt.Fprintf(s.out, "run %s is %s\n", clean(r.ID), r.Status)
	default:
		fmt.Fprintf(s.out, "run %s is %s: it is cancelled once its steps in flight and its %d undos have ended\n", clean(r.ID), r.Status, r.Undos)
	}
	return nil
}
