package memory

import (
	"cmp"
	"iter"
	"math"
	"strings"

	"github.com/tidwall/btree"

	"github.com/millrace-go/millrace/store"
)

// rows keeps small rows by key and in order. An entry is shared by the map
// and the trees, so that an update touches the map only.
type rows struct {
	byKey   map[store.RowKey]*entry
	order   *btree.BTreeG[*entry] // kind, owner, name
	byUntil *btree.BTreeG[*entry] // those that may be purged some day
}

type entry struct{ row *store.Row }

func newRows() rows {
	return rows{
		byKey:   map[store.RowKey]*entry{},
		order:   newTree(func(a, b *entry) bool { return compareKeys(a.row.RowKey, b.row.RowKey) < 0 }),
		byUntil: newTree(untilLess),
	}
}

func newTree[T any](less func(a, b T) bool) *btree.BTreeG[T] {
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
}

func compareKeys(a, b store.RowKey) int {
	if c := cmp.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	if c := strings.Compare(a.Owner, b.Owner); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

func untilLess(a, b *entry) bool {
	if a.row.Until != b.row.Until {
		return a.row.Until < b.row.Until
	}
	return compareKeys(a.row.RowKey, b.row.RowKey) < 0
}

// get returns the row, or nil.
func (r *rows) get(key store.RowKey) *store.Row {
	if e := r.byKey[key]; e != nil {
		return e.row
	}
	return nil
}

func (r *rows) put(row *store.Row) {
	e := r.byKey[row.RowKey]
	if e == nil {
		e = &entry{row: row}
		r.byKey[row.RowKey] = e
		r.order.Set(e)
		if row.Until > 0 {
			r.byUntil.Set(e)
		}
		return
	}
	if e.row.Until == row.Until {
		e.row = row
		return
	}
	r.reschedule(e, row)
}

func (r *rows) reschedule(e *entry, row *store.Row) {
	if e.row.Until > 0 {
		r.byUntil.Delete(e)
	}
	e.row = row
	if row.Until > 0 {
		r.byUntil.Set(e)
	}
}

func (r *rows) delete(key store.RowKey) {
	e := r.byKey[key]
	if e == nil {
		return
	}
	delete(r.byKey, key)
	r.order.Delete(e)
	if e.row.Until > 0 {
		r.byUntil.Delete(e)
	}
}

// from gives the rows of a kind from owner and name on, ascending.
func (r *rows) from(key store.RowKey) iter.Seq[*store.Row] {
	return func(yield func(*store.Row) bool) {
		pivot := &entry{row: &store.Row{RowKey: key}}
		r.order.Ascend(pivot, func(e *entry) bool {
			return e.row.Kind == key.Kind && yield(e.row)
		})
	}
}

// of gives the rows of one owner, ascending.
func (r *rows) of(kind store.RowKind, owner string) iter.Seq[*store.Row] {
	return func(yield func(*store.Row) bool) {
		for row := range r.from(store.RowKey{Kind: kind, Owner: owner}) {
			if row.Owner != owner || !yield(row) {
				return
			}
		}
	}
}

// down gives the rows of one owner before name, descending; all of them for
// an empty name.
func (r *rows) down(kind store.RowKind, owner, name string) iter.Seq[*store.Row] {
	key := store.RowKey{Kind: kind, Owner: owner, Name: name}
	if name == "" {
		key.Owner += "\x00" // the next possible owner
	}
	return func(yield func(*store.Row) bool) {
		r.order.Descend(&entry{row: &store.Row{RowKey: key}}, func(e *entry) bool {
			if e.row.RowKey == key || e.row.Kind == kind && e.row.Owner > owner {
				return true
			}
			return e.row.Kind == kind && e.row.Owner == owner && yield(e.row)
		})
	}
}

// belonging returns the keys of the rows, of any kind, whose owner is the given
// one or begins with it and a slash.
func (r *rows) belonging(owner string) []store.RowKey {
	var keys []store.RowKey
	for kind, ok := r.kindFrom(0); ok; kind, ok = r.kindFrom(int(kind) + 1) {
		for row := range r.of(kind, owner) {
			keys = append(keys, row.RowKey)
		}
		below := owner + "/"
		for row := range r.from(store.RowKey{Kind: kind, Owner: below}) {
			if !strings.HasPrefix(row.Owner, below) {
				break
			}
			keys = append(keys, row.RowKey)
		}
	}
	return keys
}

// kindFrom returns the first kind from kind on that has rows.
func (r *rows) kindFrom(kind int) (first store.RowKind, ok bool) {
	if kind > math.MaxUint8 {
		return 0, false
	}
	pivot := &entry{row: &store.Row{RowKey: store.RowKey{Kind: store.RowKind(kind)}}}
	r.order.Ascend(pivot, func(e *entry) bool {
		first, ok = e.row.Kind, true
		return false
	})
	return first, ok
}

// expired gives the rows whose time has passed at now, earliest first.
func (r *rows) expired(now store.Instant) iter.Seq[*store.Row] {
	return func(yield func(*store.Row) bool) {
		r.byUntil.Scan(func(e *entry) bool { return e.row.Until <= now && yield(e.row) })
	}
}
