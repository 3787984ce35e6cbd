package doctor

import (
	"context"
	"fmt"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// conservation compares the counters with the messages that are there
// (SEMANTICS M9). While messages are counted, others come and go: of these,
// some are seen and some are not, so what the counters say before and after
// bounds how many there can be.
func (x *examiner) conservation(ctx context.Context) error {
	before, err := x.counters(ctx)
	if err != nil {
		return err
	}
	if err := x.eachMessage(ctx, x.end, func(m *store.Message) error { return x.countMessage(ctx, m) }); err != nil {
		return err
	}
	after, err := x.counters(ctx)
	if err != nil {
		return err
	}
	r := &x.report
	r.Accepted, r.Done, r.Dead, r.Cancels = after.Accepted, after.Done, after.Dead, after.Cancelled
	open := before.Accepted - before.Done - before.Dead - before.Cancelled
	least := open - (after.Done - before.Done) - (after.Cancelled - before.Cancelled) - max(after.Dead-before.Dead, 0)
	most := open + (after.Accepted - before.Accepted) + max(before.Dead-after.Dead, 0)
	if r.Messages < least || r.Messages > most {
		x.found(Finding{Kind: Conservation, Text: fmt.Sprintf(
			"%d messages were accepted, %d are done, %d dead, %d cancelled: %d should be open, and %d are there",
			after.Accepted, after.Done, after.Dead, after.Cancelled, open, r.Messages)})
	}
	return nil
}

func (x *examiner) countMessage(ctx context.Context, m *store.Message) error {
	x.report.Messages++
	if m.Held() && !x.workers[m.Worker] {
		if err := x.listWorkers(ctx); err != nil { // it may have come meanwhile
			return err
		}
		if !x.workers[m.Worker] {
			x.found(Finding{Kind: Stray, Run: m.RunID, Message: m.ID, Text: fmt.Sprintf("held by worker %d, which is not there", m.Worker)})
		}
	}
	if m.Key == "" || m.Due != store.Never {
		return nil
	}
	return x.parked(ctx, m)
}

// counters adds up the shards.
func (x *examiner) counters(ctx context.Context) (sum step.CounterRow, err error) {
	err = x.eachRow(ctx, store.RowQuery{Kind: store.Counter, AllOwners: true}, func(row *store.Row) error {
		var c step.CounterRow
		if x.decode(row, &c) {
			sum.Accepted += c.Accepted
			sum.Done += c.Done
			sum.Dead += c.Dead
			sum.Cancelled += c.Cancelled
		}
		return nil
	})
	return sum, err
}

// deadLetters lists the dead letters, and compares their number with the
// counter.
func (x *examiner) deadLetters(ctx context.Context) error {
	var n int64
	before, err := x.counters(ctx)
	if err != nil {
		return err
	}
	err = x.eachRow(ctx, store.RowQuery{Kind: store.Dead, AllOwners: true}, func(row *store.Row) error {
		if row.Name >= store.Num(x.end) {
			return errEnd
		}
		n++
		var d step.DeadRow
		if x.decode(row, &d) {
			x.found(Finding{Kind: DeadLetter, Run: d.Message.RunID, Message: d.Message.ID, Text: fmt.Sprintf(
				"%s since %s, after %d attempts: %s", d.Message.Task, d.At.Time().Format("2006-01-02 15:04:05"), d.Message.Tries, line(d.Reason))})
		}
		return nil
	})
	if err != nil {
		return err
	}
	now, err := x.counters(ctx)
	if err == nil && now.Dead == before.Dead && n != now.Dead {
		x.found(Finding{Kind: Conservation, Text: fmt.Sprintf("%d dead letters were counted, and %d are there", now.Dead, n), subject: "dead"})
	}
	return err
}
