package saga

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// DeadLetter is a message that failed for good, as it was.
type DeadLetter struct {
	Seq     int64 // by which it is shown, requeued and discarded; grows
	Message store.Message
	At      time.Time // when it failed for good
	Reason  string
	Open    bool // its run, unless it has ended since, waits for it to be requeued or discarded
}

// DeadLetters lists dead letters, of runs and of jobs, in the order in which
// they came, behind the letter of number after (0: from the first). A letter
// whose row is damaged comes with an error that wraps store.ErrCorrupt, and
// its number; the listing can go on. Any other error, the store's, ends it.
func DeadLetters(ctx context.Context, h Host, after int64) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		for {
			page, err := deadPage(ctx, h, after, 200)
			if err != nil {
				yield(DeadLetter{}, err)
				return
			}
			for _, d := range page.letters {
				after = d.Seq
				if !yield(d.DeadLetter, d.err) {
					return
				}
			}
			if !page.more {
				return
			}
		}
	}
}

// letterPage is a page of dead letters, each with what is wrong with its row.
type letterPage struct {
	letters []listedLetter
	more    bool
	now     store.Instant // the store's clock
}

type listedLetter struct {
	DeadLetter
	err error
}

func deadPage(ctx context.Context, h Host, after int64, limit int) (letterPage, error) {
	q := store.RowQuery{Kind: store.Dead}
	if after > 0 {
		q.After = store.Num(after)
	}
	found, err := h.Find(ctx, store.Query{Rows: &q, Limit: limit})
	if err != nil {
		return letterPage{}, fmt.Errorf("list dead letters: %w", err)
	}
	p := letterPage{more: found.More, now: found.Now}
	for _, row := range found.Rows {
		d, err := letterOf(row)
		p.letters = append(p.letters, listedLetter{d, err})
	}
	return p, nil
}

func letterOf(row *store.Row) (DeadLetter, error) {
	seq, ok := store.ParseNum(row.Name)
	if !ok {
		return DeadLetter{}, fmt.Errorf("dead letter %q: %w", row.Name, store.ErrCorrupt)
	}
	var body step.DeadRow
	if err := store.Unmarshal(row.Body, &body); err != nil {
		return DeadLetter{Seq: seq}, fmt.Errorf("dead letter %d: %w", seq, err)
	}
	return DeadLetter{Seq: seq, Message: body.Message, At: body.At.Time(), Reason: body.Reason, Open: body.Open}, nil
}

// FindDeadLetter returns the dead letter of a number. ErrNotFound when there
// is none: it never was, or was requeued or discarded.
func FindDeadLetter(ctx context.Context, h Host, seq int64) (DeadLetter, error) {
	if seq > 0 {
		page, err := deadPage(ctx, h, seq-1, 1)
		if err != nil {
			return DeadLetter{}, err
		}
		if len(page.letters) > 0 && page.letters[0].Seq == seq {
			return page.letters[0].DeadLetter, page.letters[0].err
		}
	}
	return DeadLetter{}, fmt.Errorf("dead letter %d: %w", seq, ErrNotFound)
}

// Failure is an attempt to carry out a message that failed.
type Failure struct {
	Number int
	At     time.Time
	Host   string
	PID    int
	Error  string
	Stack  string // of a panic
}

// Failures returns all attempts that failed, in their order.
func (d DeadLetter) Failures(ctx context.Context, h Host) ([]Failure, error) {
	var out []Failure
	for _, f := range step.Rows[step.AttemptRow](ctx, h.Find, store.Attempt, d.Message.ID) {
		if f.Err != nil {
			return nil, fmt.Errorf("attempts of dead letter %d: %w", d.Seq, f.Err)
		}
		a := f.Row
		out = append(out, Failure{a.Number, a.At.Time(), a.Host, a.PID, a.Text, a.Stack})
	}
	return out, nil
}

// Edit is what a dead letter carried before it was requeued with another
// payload.
type Edit struct {
	At       time.Time // when it was edited
	Attempts int       // that it had had
	Payload  []byte    // before
}

// Edits returns the payloads that the message had before, oldest first.
func (d DeadLetter) Edits(ctx context.Context, h Host) ([]Edit, error) {
	var out []Edit
	for key, f := range step.Rows[step.EditRow](ctx, h.Find, store.Edit, d.Message.ID) {
		if f.Err != nil {
			return nil, fmt.Errorf("edits of dead letter %d: %w", d.Seq, f.Err)
		}
		n, _ := store.ParseNum(key.Name)
		out = append(out, Edit{f.Row.At.Time(), int(n), f.Row.Payload})
	}
	return out, nil
}
