package sqlite

import (
	"database/sql/driver"
	"strconv"

	"github.com/millrace-go/millrace/store"
)

// reader fills a snapshot.
type reader struct {
	x    executor
	snap *store.Snapshot
	json []byte // buffer for lists of keys
	args []driver.Value

	known   map[int64]*store.Run // need not be read
	unknown []int64              // buffer
}

// read adds to the snapshot what keys name.
func (r *reader) read(keys *store.Keys) error {
	if err := r.holds(keys.Holds); err != nil {
		return err
	}
	if err := r.messages(keys.Messages); err != nil {
		return err
	}
	if err := r.runs(keys.Runs); err != nil {
		return err
	}
	if err := r.runIDs(keys.RunIDs); err != nil {
		return err
	}
	if err := r.rows(keys.Rows); err != nil {
		return err
	}
	if err := r.lists(keys.Lists); err != nil {
		return err
	}
	if err := r.free(keys.Free); err != nil {
		return err
	}
	return r.named(keys.Named)
}

// room returns a map for n more entries; none for none.
func room[K comparable, V any](m map[K]V, n int) map[K]V {
	if m == nil && n > 0 {
		return make(map[K]V, n)
	}
	return m
}

func (r *reader) holds(seqs []int64) error {
	if len(seqs) == 0 {
		return nil
	}
	r.snap.Holds = room(r.snap.Holds, len(seqs))
	for _, seq := range seqs {
		r.snap.Holds[seq] = store.Hold{}
	}
	return r.x.query(sqlHolds, func(row []driver.Value) error {
		r.snap.Holds[integer(row[0])] = store.Hold{Exists: true, Worker: integer(row[1])}
		return nil
	}, r.list(seqs))
}

func (r *reader) messages(seqs []int64) error {
	if len(seqs) == 0 {
		return nil
	}
	r.snap.Messages = room(r.snap.Messages, len(seqs))
	for _, seq := range seqs {
		r.snap.Messages[seq] = nil
	}
	return r.x.query(sqlMessages, func(row []driver.Value) error {
		m, err := messageOf(row)
		if err == nil {
			r.snap.Messages[m.Seq] = m
		}
		return err
	}, r.list(seqs))
}

func (r *reader) runs(keys []int64) error {
	if len(keys) == 0 {
		return nil
	}
	r.snap.Runs = room(r.snap.Runs, len(keys))
	r.unknown = r.unknown[:0]
	for _, key := range keys {
		run := r.known[key]
		r.snap.Runs[key] = run
		if run == nil {
			r.unknown = append(r.unknown, key)
		}
	}
	if len(r.unknown) == 0 {
		return nil
	}
	return r.x.query(sqlRuns, func(row []driver.Value) error {
		run, err := runOf(row)
		if err == nil {
			r.snap.Runs[run.Key] = run
		}
		return err
	}, r.list(r.unknown))
}

func (r *reader) runIDs(ids []string) error {
	r.snap.RunIDs = room(r.snap.RunIDs, len(ids))
	for _, id := range ids {
		r.snap.RunIDs[id] = nil
		err := r.x.query(sqlRunByID, func(row []driver.Value) error {
			run, err := runOf(row)
			r.snap.RunIDs[id] = run
			return err
		}, id)
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) rows(keys []store.RowKey) error {
	r.snap.Rows = room(r.snap.Rows, len(keys))
	wanted := keys[:0:0]
	for _, key := range keys {
		if _, asked := r.snap.Rows[key]; !asked {
			r.snap.Rows[key] = nil
			wanted = append(wanted, key)
		}
	}
	for len(wanted) > 0 {
		q, n := rowsOf(len(wanted))
		r.args = r.args[:0]
		for _, key := range wanted[:n] {
			r.args = append(r.args, int64(key.Kind), key.Owner, key.Name)
		}
		err := r.x.query(q, func(row []driver.Value) error {
			found := rowOf(row)
			r.snap.Rows[found.RowKey] = found
			return nil
		}, r.args...)
		if err != nil {
			return err
		}
		wanted = wanted[n:]
	}
	return nil
}

// rowsOf returns the statement that reads most of n rows at once.
func rowsOf(n int) (*statement, int) {
	if n >= 16 {
		return sqlRows16, 16
	}
	return sqlRows, 1
}

func (r *reader) lists(lists []store.List) error {
	r.snap.Lists = room(r.snap.Lists, len(lists))
	for _, l := range lists {
		var found []*store.Row
		err := r.x.query(sqlList, func(row []driver.Value) error {
			found = append(found, rowOf(row))
			return nil
		}, int64(l.Kind), l.Owner, int64(max(l.Limit, 0)))
		if err != nil {
			return err
		}
		r.snap.Lists[l] = found
	}
	return nil
}

func (r *reader) free(frees []store.Free) error {
	r.snap.Free = room(r.snap.Free, len(frees))
	for _, f := range frees {
		var found []*store.Message
		err := r.x.query(sqlFree, func(row []driver.Value) error {
			m, err := messageOf(row)
			found = append(found, m)
			return err
		}, f.Run, int64(max(f.Limit, 0)))
		if err != nil {
			return err
		}
		r.snap.Free[f] = found
	}
	return nil
}

func (r *reader) named(names []store.Named) error {
	r.snap.Named = room(r.snap.Named, len(names))
	for _, n := range names {
		r.snap.Named[n] = nil
		err := r.x.query(sqlNamed, func(row []driver.Value) error {
			m, err := messageOf(row)
			r.snap.Named[n] = m
			return err
		}, n.Run, n.Name)
		if err != nil {
			return err
		}
	}
	return nil
}

// list writes numbers as a JSON array.
func (r *reader) list(numbers []int64) string {
	r.json = appendList(r.json[:0], numbers)
	return string(r.json)
}

func listOf(numbers []int64) string { return string(appendList(nil, numbers)) }

func appendList(b []byte, numbers []int64) []byte {
	b = append(b, '[')
	for i, n := range numbers {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return append(b, ']')
}
