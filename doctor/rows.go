package doctor

import (
	"context"
	"fmt"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// locks looks for exclusive keys whose holder is gone.
func (x *examiner) locks(ctx context.Context) error {
	return x.eachRow(ctx, store.RowQuery{Kind: store.Lock, AllOwners: true}, func(row *store.Row) error {
		var l step.LockRow
		if !x.decode(row, &l) {
			return nil
		}
		m, err := x.message(ctx, l.Running)
		if err == nil && m == nil {
			x.found(Finding{Kind: Lock, Text: fmt.Sprintf("%s: message %d, which has the key, is not there", row.RowKey, l.Running), subject: row.String()})
		}
		return err
	})
}

// waiters looks for places in the queue of a key that nobody takes, and for
// those who wait for a key that is free.
func (x *examiner) waiters(ctx context.Context) error {
	return x.eachRow(ctx, store.RowQuery{Kind: store.Waiter, AllOwners: true}, func(row *store.Row) error {
		var w step.WaiterRow
		if !x.decode(row, &w) {
			return nil
		}
		seq, _ := store.ParseNum(row.Name)
		m, err := x.message(ctx, seq)
		switch {
		case err != nil:
			return err
		case m == nil:
			x.found(Finding{Kind: Orphan, Text: fmt.Sprintf("%s: the message that waits is not there", row.RowKey), subject: row.String()})
			return nil
		case w.Saga != "": // it may wait for its saga to begin
			return nil
		}
		return x.lockOf(ctx, row, m)
	})
}

func (x *examiner) lockOf(ctx context.Context, waiter *store.Row, m *store.Message) error {
	lock, err := x.first(ctx, store.RowQuery{Kind: store.Lock, Owner: waiter.Owner})
	if err == nil && lock == nil {
		x.found(Finding{Kind: Lock, Run: m.RunID, Message: m.ID, Text: fmt.Sprintf("waits for key %q, which nobody has", m.Key)})
	}
	return err
}

// parked looks for the place of a message in the queue of its key.
func (x *examiner) parked(ctx context.Context, m *store.Message) error {
	key := step.WaiterKey(m)
	row, err := x.first(ctx, store.RowQuery{Kind: key.Kind, Owner: key.Owner, After: store.Num(m.Seq - 1)})
	if err == nil && (row == nil || row.RowKey != key) {
		x.found(Finding{Kind: Lock, Run: m.RunID, Message: m.ID, Text: fmt.Sprintf("is parked for key %q, and not in its queue", m.Key)})
	}
	return err
}

// chunks looks for staged parts of forks that no message will hand out or
// drop.
func (x *examiner) chunks(ctx context.Context) error {
	lost := map[string]int64{} // by owner: the last chunk
	err := x.eachRow(ctx, store.RowQuery{Kind: store.Chunk, AllOwners: true}, func(row *store.Row) error {
		if row.Owner >= store.Num(x.end) {
			return errEnd
		}
		if _, known := lost[row.Owner]; known || len(lost) >= x.o.Most {
			return nil
		}
		parent, _ := store.ParseNum(row.Owner)
		n, _ := store.ParseNum(row.Name)
		m, err := x.message(ctx, parent)
		if err == nil && (m == nil || int64(m.Staged) <= n) {
			lost[row.Owner] = n
		}
		return err
	})
	if err != nil || len(lost) == 0 {
		return err
	}
	err = x.eachMessage(ctx, x.end, func(m *store.Message) error {
		if n, ok := lost[m.Scope]; ok && m.Kind == store.Release && n >= m.Number && n < int64(m.Staged) {
			delete(lost, m.Scope)
		}
		return nil
	})
	for owner, n := range lost {
		key := store.RowKey{Kind: store.Chunk, Owner: owner, Name: store.Num(n)}
		x.found(Finding{Kind: Orphan, Text: fmt.Sprintf("%s: neither the message that staged it is there nor one that hands it out", key), subject: key.String()})
	}
	return err
}

// scopes compares wider scopes with the joins that are open in them.
func (x *examiner) scopes(ctx context.Context) error {
	return x.eachRow(ctx, store.RowQuery{Kind: store.Scope, AllOwners: true}, func(row *store.Row) error {
		var s step.ScopeRow
		if !x.decode(row, &s) {
			return nil
		}
		open := 0
		var timed []timedJoin
		err := x.eachRow(ctx, store.RowQuery{Kind: store.Join, Owner: row.Owner}, func(row *store.Row) error {
			open++
			var j step.JoinRow
			if x.decode(row, &j) && j.Tick != 0 {
				timed = append(timed, timedJoin{row.RowKey, j.RunID, j.Tick})
			}
			return nil
		})
		if err != nil {
			return err
		}
		if open != s.Open {
			x.found(Finding{Kind: Counts, Text: fmt.Sprintf("scope %q: its row says %d open joins, and %d are there", row.Owner, s.Open, open), subject: row.String()})
		}
		return x.deadlines(ctx, timed)
	})
}
