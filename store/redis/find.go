package redis

import (
	"context"
	"errors"
	"slices"

	"github.com/millrace-go/millrace/store"
)

const (
	defaultPage = 100

	// piece is how many rows a script looks at, at most, since the server does
	// nothing else meanwhile.
	piece = 2000
)

// Find implements [store.Store]. A page that takes long to find is put together
// of several moments. All workers are one page, whatever the limit. Errors:
// store.ErrUnavailable, store.ErrCorrupt, store.ErrSchema if the store was
// emptied or replaced, store.ErrClosed, the context's, and one for a query that
// asks for nothing.
func (s *Store) Find(ctx context.Context, q store.Query) (store.Found, error) {
	leave, err := s.enter(ctx, "find")
	if err != nil {
		return store.Found{}, err
	}
	defer leave()
	if q.Limit <= 0 {
		q.Limit = defaultPage
	}
	f, err := s.find(ctx, q)
	if err != nil {
		return store.Found{}, explain("find", err)
	}
	return f, nil
}

func (s *Store) find(ctx context.Context, q store.Query) (store.Found, error) {
	switch {
	case q.Messages != nil && len(q.Messages.Seqs) > 0:
		return s.findSeqs(ctx, q.Messages, q.Limit)
	case q.Messages != nil:
		return s.findMessages(ctx, q.Messages, q.Limit)
	case q.Runs != nil && (q.Runs.Key != 0 || q.Runs.ID != ""):
		return s.findRun(ctx, q.Runs)
	case q.Runs != nil:
		return s.findRuns(ctx, q.Runs, q.Limit)
	case q.Rows != nil && q.Rows.Key != nil:
		return s.findRow(ctx, *q.Rows.Key)
	case q.Rows != nil:
		return s.findRows(ctx, q.Rows, q.Limit)
	case q.Workers != nil:
		return s.findWorkers(ctx)
	}
	return store.Found{}, errors.New("query names no kind of rows")
}

// cut keeps a page of what was found, which is one more if there are more.
func cut[T any](list []T, limit int) (page []T, more bool) {
	if len(list) > limit {
		return list[:limit], true
	}
	return list, false
}

func addMessage(f *store.Found, seq int64, v string) {
	m, err := messageOf(seq, v)
	if err != nil {
		f.Damaged = append(f.Damaged, seq)
		return
	}
	f.Messages = append(f.Messages, m)
}

func (s *Store) findMessages(ctx context.Context, q *store.MessageQuery, limit int) (store.Found, error) {
	var f store.Found
	var found []valued
	for after := store.Num(q.After); ; {
		a, err := s.list(ctx, findMessagesScript, s.clock(), after, limit+1-len(found), piece, numOrNone(q.Worker), numOrNone(q.Run))
		if err != nil {
			return f, err
		}
		f.Now = store.Instant(a.number())
		after, _ = a.text()
		found = append(found, valuesOf(&a)...)
		if after == "" || len(found) > limit {
			break
		}
	}
	found, f.More = cut(found, limit)
	for _, v := range found {
		addMessage(&f, v.number, v.value)
	}
	return f, nil
}

// valued is a stored value under its number.
type valued struct {
	number int64
	value  string
}

func valuesOf(a *answers) []valued {
	var list []valued
	for a.more() {
		n, _ := a.text()
		v, _ := a.text()
		list = append(list, valued{number(n), v})
	}
	return list
}

// findSeqs looks at messages by seq; these are few.
func (s *Store) findSeqs(ctx context.Context, q *store.MessageQuery, limit int) (store.Found, error) {
	seqs := slices.Compact(slices.Sorted(slices.Values(q.Seqs)))
	seqs = slices.DeleteFunc(seqs, func(seq int64) bool { return seq <= q.After })
	a, err := s.list(ctx, readScript, askBlocks([]any{s.clock(), ""}, "g", "m:", seqs)...)
	if err != nil {
		return store.Found{}, err
	}
	f := store.Found{Now: store.Instant(a.number())}
	a.number()
	for _, seq := range seqs {
		v, ok := a.text()
		if !ok || q.Worker != 0 && (len(v) < holderSize || number(v[stampSize:holderSize]) != q.Worker) {
			continue
		}
		if q.Run != 0 && (len(v) < messageHead || number(v[holderSize:holderSize+numSize]) != q.Run) {
			continue
		}
		if f.More = len(f.Messages)+len(f.Damaged) == limit; f.More {
			return f, nil
		}
		addMessage(&f, seq, v)
	}
	return f, nil
}

func (s *Store) findRun(ctx context.Context, q *store.RunQuery) (store.Found, error) {
	keys := store.Keys{Runs: []int64{q.Key}}
	if q.Key == 0 {
		keys = store.Keys{RunIDs: []string{q.ID}}
	}
	r, err := s.read(ctx, keys)
	if err != nil {
		return store.Found{}, err
	}
	f := store.Found{Now: r.snap.Now}
	for _, found := range []*store.Run{r.snap.Runs[q.Key], r.snap.RunIDs[q.ID]} {
		if found != nil {
			f.Runs = append(f.Runs, found)
		}
	}
	return f, nil
}

func (s *Store) findRuns(ctx context.Context, q *store.RunQuery, limit int) (store.Found, error) {
	var f store.Found
	var found []valued
	var states []byte
	for _, st := range q.Status {
		states = append(states, statusMark(st))
	}
	for after := numOrNone(q.After); ; {
		a, err := s.list(ctx, findRunsScript, s.clock(), after, limit+1-len(found), piece, bit(q.Newest), states)
		if err != nil {
			return f, err
		}
		f.Now = store.Instant(a.number())
		after, _ = a.text()
		found = append(found, valuesOf(&a)...)
		if after == "" || len(found) > limit {
			break
		}
	}
	found, f.More = cut(found, limit)
	for _, v := range found {
		r, err := runOf(v.number, v.value)
		if err != nil {
			return f, err
		}
		f.Runs = append(f.Runs, r)
	}
	return f, nil
}

func (s *Store) findRow(ctx context.Context, key store.RowKey) (store.Found, error) {
	r, err := s.read(ctx, store.Keys{Rows: []store.RowKey{key}})
	if err != nil {
		return store.Found{}, err
	}
	f := store.Found{Now: r.snap.Now}
	if row := r.snap.Rows[key]; row != nil {
		f.Rows = []*store.Row{row}
	}
	return f, nil
}

func (s *Store) findRows(ctx context.Context, q *store.RowQuery, limit int) (store.Found, error) {
	from, to := pageOf(q)
	if q.Newest {
		from, to = to, from
	}
	a, err := s.list(ctx, findRowsScript, s.clock(), from, to, limit+1, bit(q.Newest))
	if err != nil {
		return store.Found{}, err
	}
	f := store.Found{Now: store.Instant(a.number())}
	for a.more() {
		member, _ := a.text()
		v, _ := a.text()
		row, err := rowOf(keyOf(member), v)
		if err != nil {
			return f, err
		}
		f.Rows = append(f.Rows, row)
	}
	f.Rows, f.More = cut(f.Rows, limit)
	return f, nil
}

// pageOf returns the range of keys in which a page begins: behind the last row
// of the page before, or before it for the newest. There is no such row when
// After (and AfterOwner, if it counts) are empty.
func pageOf(q *store.RowQuery) (from, to string) {
	if q.AllOwners && !q.Newest {
		from, to = "["+ownerOf(q.Kind, ""), "("+ownerOf(q.Kind+1, "")
		if q.AfterOwner != "" || q.After != "" {
			from = "(" + memberOf(store.RowKey{Kind: q.Kind, Owner: q.AfterOwner, Name: q.After})
		}
		return from, to
	}
	from, to = rangeOf(store.List{Kind: q.Kind, Owner: q.Owner})
	last := "(" + memberOf(store.RowKey{Kind: q.Kind, Owner: q.Owner, Name: q.After})
	switch {
	case q.After == "":
	case q.Newest:
		to = last
	default:
		from = last
	}
	return from, to
}

func (s *Store) findWorkers(ctx context.Context) (store.Found, error) {
	a, err := s.list(ctx, findWorkersScript, s.clock())
	if err != nil {
		return store.Found{}, err
	}
	f := store.Found{Now: store.Instant(a.number())}
	f.Workers, err = workersOf(&a)
	return f, err
}
