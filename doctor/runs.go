package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// tally is what is there of a run.
type tally struct {
	run                 *store.Run
	open, waiting, dead int
}

// runs examines all runs, a window of them at a time.
func (x *examiner) runs(ctx context.Context) error {
	q := store.RunQuery{}
	for {
		window := map[int64]*tally{}
		first, more := q.After, true
		for more && len(window) < x.o.Window {
			f, err := x.find(ctx, store.Query{Runs: &q})
			if err != nil {
				return err
			}
			more = f.More && len(f.Runs) > 0
			for _, r := range f.Runs {
				if r.Key >= x.end {
					more = false
					break
				}
				q.After = r.Key
				if err := x.run(ctx, r); err != nil {
					return err
				}
				window[r.Key] = &tally{run: bare(r)}
			}
		}
		if err := x.window(ctx, window, first, q.After); err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}

// bare is a run without what takes memory.
func bare(r *store.Run) *store.Run {
	return &store.Run{
		Key: r.Key, ID: r.ID, Status: r.Status, Open: r.Open, Waiting: r.Waiting, Dead: r.Dead, Entries: r.Entries, Head: r.Head,
	}
}

func (x *examiner) run(ctx context.Context, r *store.Run) error {
	x.report.Runs++
	if r.Status == store.Stalled {
		x.found(Finding{Kind: Stalled, Run: r.ID, Text: fmt.Sprintf("waits for %d joins since %s, and nothing is under way that could fulfil them",
			r.Waiting, r.Updated.Time().Format("2006-01-02 15:04:05"))})
	}
	return x.history(ctx, r)
}

// history verifies a run's history, page by page, and replays it.
func (x *examiner) history(ctx context.Context, r *store.Run) error {
	var (
		audit step.Audit
		fault error
		pages int
	)
	if r.Pages > 0 {
		err := x.eachRow(ctx, store.RowQuery{Kind: store.Page, Owner: step.Owner(r.Key, "")}, func(row *store.Row) error {
			var p step.PageRow
			if pages++; pages > r.Pages || fault != nil {
				return nil
			}
			if fault = store.Unmarshal(row.Body, &p); fault == nil {
				fault = audit.Add(&p)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if fault == nil && pages < r.Pages {
		fault = fmt.Errorf("%w: it has %d pages, and %d are there", step.ErrHistory, r.Pages, pages)
	}
	if fault == nil {
		fault = audit.End(r)
	}
	if fault == nil {
		return nil
	}
	changed, err := x.changed(ctx, r)
	if err == nil && !changed {
		x.found(Finding{Kind: History, Run: r.ID, Text: fault.Error()})
	}
	return err
}

// changed reports whether a run has gone on, or is gone, since it was read.
func (x *examiner) changed(ctx context.Context, r *store.Run) (bool, error) {
	f, err := x.find(ctx, store.Query{Runs: &store.RunQuery{Key: r.Key}})
	if err != nil {
		return false, err
	}
	return len(f.Runs) == 0 || f.Runs[0].Entries != r.Entries || f.Runs[0].Head != r.Head, nil
}

// window compares the rows of some runs with what is there of them.
func (x *examiner) window(ctx context.Context, runs map[int64]*tally, first, last int64) error {
	end, err := x.next(ctx) // of what the rows, as they were read, can speak of
	if err != nil {
		return err
	}
	err = x.eachMessage(ctx, end, func(m *store.Message) error { return x.tallyMessage(runs, first, last, m) })
	if err != nil {
		return err
	}
	if err := x.tallyJoins(ctx, runs, first, last); err != nil {
		return err
	}
	if err := x.tallyDead(ctx, runs); err != nil {
		return err
	}
	for _, t := range runs {
		if err := x.compare(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (x *examiner) tallyMessage(runs map[int64]*tally, first, last int64, m *store.Message) error {
	t := runs[m.Run]
	switch {
	case t == nil && m.Run > first && m.Run <= last:
		x.found(Finding{Kind: Orphan, Run: m.RunID, Message: m.ID, Text: "its run is not there"})
	case t != nil && (m.Kind == store.Task || m.Kind == store.Release):
		t.open++
	}
	return nil
}

// tallyJoins counts the open joins of runs, and looks for their deadlines.
func (x *examiner) tallyJoins(ctx context.Context, runs map[int64]*tally, first, last int64) error {
	var timed []timedJoin
	q := store.RowQuery{Kind: store.Join, AllOwners: true, AfterOwner: store.Num(first)}
	err := x.eachRow(ctx, q, func(row *store.Row) error {
		key, ok := store.ParseNum(row.Owner)
		if !ok {
			return nil
		}
		if key > last {
			return errEnd
		}
		t := runs[key]
		var j step.JoinRow
		if t == nil || !x.decode(row, &j) {
			return nil
		}
		t.open++
		if j.Remote == "" && j.Due == 0 {
			t.waiting++
		}
		if j.Tick != 0 {
			timed = append(timed, timedJoin{row.RowKey, t.run.ID, j.Tick})
		}
		if len(timed) < x.o.Page {
			return nil
		}
		batch := timed
		timed = nil
		return x.deadlines(ctx, batch)
	})
	if err != nil {
		return err
	}
	return x.deadlines(ctx, timed)
}

// timedJoin is a join with a deadline.
type timedJoin struct {
	row  store.RowKey
	run  string
	tick int64
}

func (x *examiner) deadlines(ctx context.Context, joins []timedJoin) error {
	seqs := make([]int64, len(joins))
	for i, j := range joins {
		seqs[i] = j.tick
	}
	there, err := x.messages(ctx, seqs)
	for _, j := range joins {
		if m := there[j.tick]; m == nil || m.Kind != store.Tick {
			x.found(Finding{Kind: Deadline, Run: j.run, Text: fmt.Sprintf("join %q: message %d of its deadline is not there", j.row.Name, j.tick), subject: j.row.String()})
		}
	}
	return err
}

// tallyDead counts the dead letters that runs wait for.
func (x *examiner) tallyDead(ctx context.Context, runs map[int64]*tally) error {
	return x.eachRow(ctx, store.RowQuery{Kind: store.Dead, AllOwners: true}, func(row *store.Row) error {
		var d step.DeadRow
		if store.Unmarshal(row.Body, &d) != nil { // told by deadLetters
			return nil
		}
		if t := runs[d.Message.Run]; t != nil && d.Holds(t.run) {
			t.open++
			t.dead++
		}
		return nil
	})
}

func (x *examiner) compare(ctx context.Context, t *tally) error {
	r := t.run
	var off []string
	for _, c := range []struct {
		what        string
		row, really int
	}{{"open", r.Open, t.open}, {"waiting joins", r.Waiting, t.waiting}, {"dead letters", r.Dead, t.dead}} {
		if c.row != c.really {
			off = append(off, fmt.Sprintf("its row says %d %s, and %d are there", c.row, c.what, c.really))
		}
	}
	if len(off) == 0 {
		return nil
	}
	changed, err := x.changed(ctx, r)
	if err == nil && !changed {
		x.found(Finding{Kind: Counts, Run: r.ID, Text: strings.Join(off, "; ")})
	}
	return err
}

// line is the first line of a text.
func line(s string) string {
	head, _, _ := strings.Cut(s, "\n")
	return head
}
