package saga

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/millrace-go/millrace/joins"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Runs lists runs in the order of their starts: those of the given states
// (none: all), newest first if asked for. Only the fields Status, Newest and
// After of the query are heeded. The error that ends the listing is the
// store's.
func Runs(ctx context.Context, h Host, q store.RunQuery) iter.Seq2[*store.Run, error] {
	q.Key, q.ID = 0, ""
	return func(yield func(*store.Run, error) bool) {
		for {
			page, err := h.Find(ctx, store.Query{Runs: &q, Limit: 200})
			if err != nil {
				yield(nil, fmt.Errorf("list runs: %w", err))
				return
			}
			for _, r := range page.Runs {
				q.After = r.Key
				if !yield(r, nil) {
					return
				}
			}
			if !page.More {
				return
			}
		}
	}
}

// Waits is what a run waits for.
type Waits struct {
	Now      time.Time        // the store's clock, when it was asked
	Messages []*store.Message // sent and not ended: due, held, or waiting for their time or their key
	Joins    []OpenJoin
	Dead     []DeadLetter // also those that the run does not wait for
	More     bool         // there is more than was asked for
}

// OpenJoin is a join that has not fired.
type OpenJoin struct {
	Name     string
	Mode     string    // all, any, some, or fork: all children of a fork
	Scope    string    // the wider scope that it is in; empty: the run
	Need     int       // how many more events, or outcomes of children, it waits for
	Missing  []string  // its events that have not come
	Arrived  []string  // those that have
	Total    int       // of a fork: its children
	Done     int       // of these: succeeded
	Failed   int       // of these: dead letters
	Deadline time.Time // zero: none
	Then     string    // task that it sends
	Else     string    // task that the deadline sends; empty: none
}

// Waits tells what the run waits for, at most limit of each sort (0: 100). It
// looks at all messages and dead letters of the store: it is for eyes, not for
// programs that ask often.
func (r Run) Waits(ctx context.Context, limit int) (Waits, error) {
	if limit <= 0 {
		limit = 100
	}
	var w Waits
	for _, part := range []func(context.Context, *Waits, int) error{r.messages, r.joins, r.letters} {
		if err := part(ctx, &w, limit); err != nil {
			return Waits{}, fmt.Errorf("run %s: %w", r.ID, err)
		}
	}
	return w, nil
}

func (r Run) messages(ctx context.Context, w *Waits, limit int) error {
	found, err := r.host.Find(ctx, store.Query{Messages: &store.MessageQuery{Run: r.key}, Limit: limit})
	if err != nil {
		return err
	}
	w.Now, w.Messages, w.More = found.Now.Time(), found.Messages, w.More || found.More
	return nil
}

func (r Run) joins(ctx context.Context, w *Waits, limit int) error {
	for key, f := range step.Rows[step.JoinRow](ctx, r.host.Find, store.Join, step.Owner(r.key, "")) {
		if f.Err != nil {
			return f.Err
		}
		if len(w.Joins) == limit {
			w.More = true
			return nil
		}
		row, err := r.follow(ctx, &f.Row)
		if err != nil {
			return err
		}
		w.Joins = append(w.Joins, openJoin(key.Name, f.Row.Remote, row))
	}
	return nil
}

// follow returns the row of a join that is in a wider scope, where the run has
// a stub only. While the join is on its way there or back, that is all.
func (r Run) follow(ctx context.Context, row *step.JoinRow) (*step.JoinRow, error) {
	if row.Remote == "" {
		return row, nil
	}
	key := store.RowKey{Kind: store.Join, Owner: step.Owner(0, row.Remote), Name: "#" + row.ID}
	there, err := step.ReadRow[step.JoinRow](ctx, r.host.Find, key)
	if errors.Is(err, ErrNotFound) {
		return row, nil
	}
	return &there, err
}

func openJoin(name, scope string, row *step.JoinRow) OpenJoin {
	j := OpenJoin{
		Name: name, Scope: scope, Mode: modeNames[row.Rule.Mode], Then: row.Then.Task,
		Total: row.Rule.Total, Done: row.Progress.Done, Failed: row.Progress.Failed,
	}
	for _, got := range row.Progress.Got {
		j.Arrived = append(j.Arrived, got.Event)
	}
	for _, e := range row.Rule.Events {
		if row.Rule.Wants(&row.Progress, e) {
			j.Missing = append(j.Missing, e)
		}
	}
	j.Need = lacks(&row.Rule, len(j.Arrived), j.Done+j.Failed)
	if row.Due != 0 {
		j.Deadline = row.Due.Time()
	}
	if row.Else != nil {
		j.Else = row.Else.Task
	}
	return j
}

var modeNames = map[joins.Mode]string{joins.All: "all", joins.Any: "any", joins.Some: "some", joins.Fork: "fork"}

// lacks tells how much a rule that is not fulfilled still waits for.
func lacks(r *joins.Rule, arrived, ended int) int {
	switch r.Mode {
	case joins.Any:
		return 1
	case joins.Some:
		return min(r.Need, len(r.Events)) - arrived
	case joins.Fork:
		return r.Total - ended
	}
	return len(r.Events) - arrived
}

func (r Run) letters(ctx context.Context, w *Waits, limit int) error {
	for d, err := range DeadLetters(ctx, r.host, 0) {
		switch {
		case errors.Is(err, store.ErrCorrupt):
			continue // whose it is can't be told
		case err != nil:
			return err
		case d.Message.Run != r.key:
			continue
		case len(w.Dead) == limit:
			w.More = true
			return nil
		}
		w.Dead = append(w.Dead, d)
	}
	return nil
}
