package sqlite

import (
	"github.com/millrace-go/millrace/store"
)

// applyAll writes changes. Messages and runs with numbers from first on are
// new. What of the others is gone is not made again.
func applyAll(x executor, c *store.Changes, first int64) error {
	for _, m := range c.PutMessages {
		if err := putMessage(x, m, first); err != nil {
			return err
		}
	}
	for _, seq := range c.DeleteMessages {
		if _, err := x.exec(sqlDeleteMessage, seq); err != nil {
			return err
		}
	}
	for _, r := range c.PutRuns {
		if err := putRun(x, r, first); err != nil {
			return err
		}
	}
	for _, r := range c.PutRows {
		if _, err := x.exec(sqlPutRow, int64(r.Kind), r.Owner, r.Name, int64(r.Until), filled(r.Body)); err != nil {
			return err
		}
	}
	for _, k := range c.DeleteRows {
		if _, err := x.exec(sqlDeleteRow, int64(k.Kind), k.Owner, k.Name); err != nil {
			return err
		}
	}
	return nil
}

func putMessage(x executor, m *store.Message, first int64) error {
	body, err := m.MarshalBody()
	if err != nil {
		return err
	}
	q := sqlInsertMessage
	if m.Seq < first {
		q = sqlUpdateMessage
	}
	_, err = x.exec(q, m.Seq, m.Topic, m.Run, nullable(m.Name), int64(m.Due), int64(m.Priority), m.Worker, body)
	return err
}

func putRun(x executor, r *store.Run, first int64) error {
	body, err := r.MarshalBody()
	if err != nil {
		return err
	}
	q := sqlInsertRun
	if r.Key < first {
		q = sqlUpdateRun
	}
	_, err = x.exec(q, r.Key, r.ID, r.Name, int64(r.Status), int64(r.Ended), body)
	return err
}
