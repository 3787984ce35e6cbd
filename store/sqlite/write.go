package sqlite

import (
	"database/sql/driver"

	"github.com/millrace-go/millrace/store"
)

// changer writes changes. Messages and runs with numbers from first on are
// new; what of the others is gone is not made again.
type changer struct {
	x     executor
	snap  *store.Snapshot
	first int64
	args  []driver.Value
	wrote []*store.Run // runs that are there now
}

func (w *changer) apply(c *store.Changes) error {
	if err := w.putMessages(c.PutMessages); err != nil {
		return err
	}
	if len(c.DeleteMessages) > 0 {
		if _, err := w.x.exec(sqlDeleteMessages, listOf(c.DeleteMessages)); err != nil {
			return err
		}
	}
	for _, r := range c.PutRuns {
		if err := w.putRun(r); err != nil {
			return err
		}
	}
	for _, r := range c.PutRows {
		if _, err := w.x.exec(sqlPutRow, int64(r.Kind), r.Owner, r.Name, int64(r.Until), filled(r.Body)); err != nil {
			return err
		}
	}
	for _, k := range c.DeleteRows {
		if _, err := w.x.exec(sqlDeleteRow, int64(k.Kind), k.Owner, k.Name); err != nil {
			return err
		}
	}
	return nil
}

// putMessages updates one by one, and inserts what lies between in pieces.
func (w *changer) putMessages(all []*store.Message) error {
	from := 0
	for i, m := range all {
		if m.Seq >= w.first {
			continue
		}
		if err := w.insertMessages(all[from:i]); err != nil {
			return err
		}
		if err := w.updateMessage(m); err != nil {
			return err
		}
		from = i + 1
	}
	return w.insertMessages(all[from:])
}

// insertMessages inserts by as few statements as there are pieces of the
// sizes that statements are prepared for.
func (w *changer) insertMessages(all []*store.Message) error {
	for len(all) > 0 {
		q, n := insertOf(len(all))
		w.args = w.args[:0]
		for _, m := range all[:n] {
			w.args = append(w.args, m.Seq, m.Topic, m.Run, nullable(m.Name),
				int64(m.Due), int64(m.Priority), m.Worker, int64(m.Published), m.AppendBody(nil))
		}
		if _, err := w.x.exec(q, w.args...); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

func insertOf(n int) (*statement, int) {
	switch {
	case n >= 32:
		return sqlInsert32Messages, 32
	case n >= 8:
		return sqlInsert8Messages, 8
	}
	return sqlInsertMessage, 1
}

func (w *changer) updateMessage(m *store.Message) error {
	_, err := w.x.exec(sqlUpdateMessage, m.Topic, m.Run, nullable(m.Name),
		int64(m.Due), int64(m.Priority), m.Worker, int64(m.Published), m.AppendBody(nil), m.Seq)
	return err
}

func (w *changer) putRun(r *store.Run) error {
	var n int64
	var err error
	body := r.AppendBody(nil)
	switch old := w.snap.Runs[r.Key]; {
	case r.Key >= w.first:
		n, err = w.x.exec(sqlInsertRun, r.Key, r.ID, r.Name, int64(r.Status), int64(r.Ended), body)
	case old != nil && old.Name == r.Name && old.Ended == r.Ended:
		n, err = w.x.exec(sqlAdvanceRun, int64(r.Status), body, r.Key)
	default:
		n, err = w.x.exec(sqlUpdateRun, r.Name, int64(r.Status), int64(r.Ended), body, r.Key)
	}
	if n > 0 {
		w.wrote = append(w.wrote, r)
	}
	return err
}
