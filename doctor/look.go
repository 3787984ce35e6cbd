package doctor

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace-go/millrace/store"
)

// examiner is one look through a store.
type examiner struct {
	damaged map[int64]bool // seqs of messages that don\'t decode, and were told
	store   store.Store
	o       Options
	report  Report
	end     int64 // first number that was free at the beginning: what came later is not looked at
	workers map[int64]bool
}

func look(ctx context.Context, s store.Store, o Options) (Report, error) {
	x := &examiner{store: s, o: o}
	var err error
	if x.end, err = x.next(ctx); err != nil {
		return x.report, fmt.Errorf("doctor: %w", err)
	}
	for _, part := range []func(context.Context) error{
		x.listWorkers, x.conservation, x.runs, x.locks, x.waiters, x.chunks, x.scopes, x.deadLetters,
	} {
		if err := part(ctx); err != nil {
			return x.report, fmt.Errorf("doctor: %w", err)
		}
	}
	return x.report, nil
}

// next returns the first number that is free now.
func (x *examiner) next(ctx context.Context) (next int64, err error) {
	err = x.store.Commit(ctx, store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		next = snap.NextSeq
		return &store.Changes{}
	})
	return next, err
}

func (x *examiner) found(f Finding) {
	if len(x.report.Findings) >= x.o.Most {
		x.report.Cut = true
		return
	}
	x.report.Findings = append(x.report.Findings, f)
}

func (x *examiner) find(ctx context.Context, q store.Query) (store.Found, error) {
	q.Limit = x.o.Page
	return x.store.Find(ctx, q)
}

func (x *examiner) listWorkers(ctx context.Context) error {
	f, err := x.find(ctx, store.Query{Workers: &store.WorkerQuery{}})
	if err != nil {
		return err
	}
	x.workers = map[int64]bool{}
	for i := range f.Workers {
		x.workers[f.Workers[i].Key] = true
	}
	return nil
}

// foundDamaged tells once of a message that does not decode.
func (x *examiner) foundDamaged(seq int64) {
	if x.damaged[seq] {
		return
	}
	if x.damaged == nil {
		x.damaged = map[int64]bool{}
	}
	x.damaged[seq] = true
	x.found(Finding{Kind: Damaged, Text: fmt.Sprintf("message %d does not decode", seq), subject: store.Num(seq)})
}

// eachMessage gives all messages before end, page by page. Without an end they
// could come faster than they are read.
func (x *examiner) eachMessage(ctx context.Context, end int64, each func(*store.Message) error) error {
	q := store.MessageQuery{}
	for {
		f, err := x.find(ctx, store.Query{Messages: &q})
		if err != nil {
			return err
		}
		for _, seq := range f.Damaged {
			x.foundDamaged(seq)
			q.After = max(q.After, seq)
		}
		for _, m := range f.Messages {
			if m.Seq >= end {
				return nil
			}
			if err := each(m); err != nil {
				return err
			}
			q.After = max(q.After, m.Seq)
		}
		if !f.More {
			return nil
		}
	}
}

// errEnd ends a listing of rows.
var errEnd = errors.New("end of the list")

// eachRow gives the rows that q lists, page by page, until each returns errEnd.
func (x *examiner) eachRow(ctx context.Context, q store.RowQuery, each func(*store.Row) error) error {
	for {
		f, err := x.find(ctx, store.Query{Rows: &q})
		if err != nil {
			return err
		}
		for _, row := range f.Rows {
			err := each(row)
			if err == errEnd {
				return nil
			}
			if err != nil {
				return err
			}
			q.AfterOwner, q.After = row.Owner, row.Name
		}
		if !f.More || len(f.Rows) == 0 {
			return nil
		}
	}
}

// first returns the first row that q lists, or nil.
func (x *examiner) first(ctx context.Context, q store.RowQuery) (*store.Row, error) {
	f, err := x.store.Find(ctx, store.Query{Rows: &q, Limit: 1})
	if err != nil || len(f.Rows) == 0 {
		return nil, err
	}
	return f.Rows[0], nil
}

// messages returns those of seqs that are there.
func (x *examiner) messages(ctx context.Context, seqs []int64) (map[int64]*store.Message, error) {
	there := make(map[int64]*store.Message, len(seqs))
	for len(seqs) > 0 {
		n := min(len(seqs), x.o.Page)
		f, err := x.find(ctx, store.Query{Messages: &store.MessageQuery{Seqs: seqs[:n]}})
		if err != nil {
			return nil, err
		}
		for _, m := range f.Messages {
			there[m.Seq] = m
		}
		seqs = seqs[n:]
	}
	return there, nil
}

// message returns one message, or nil.
func (x *examiner) message(ctx context.Context, seq int64) (*store.Message, error) {
	there, err := x.messages(ctx, []int64{seq})
	return there[seq], err
}

// decode reads a row's body into val, and reports whether it could.
func (x *examiner) decode(row *store.Row, val any) bool {
	err := store.Unmarshal(row.Body, val)
	if err != nil {
		x.found(Finding{Kind: Damaged, Text: fmt.Sprintf("row %s: %v", row.RowKey, err), subject: row.String()})
	}
	return err == nil
}
