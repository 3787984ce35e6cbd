package redis

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/internal/known"
)

// most is how many keys or values are handed to a command of a script at once.
const most = 1000

// reading is what a commit reads: a snapshot of one moment, and for each thing
// in it how it stood, which the commit's script compares.
type reading struct {
	keys store.Keys
	snap *store.Snapshot

	messages []standing[int64] // by seq
	runs     []standing[int64]
	rows     []standing[store.RowKey]
	ids      []standing[string]
	names    []standing[string]
	ranges   []extent
}

// standing is how something stood.
type standing[K comparable] = known.Standing[K, mark]

// mark is how something stood: stamp (and holder), or the number that it leads
// to; empty for what was absent.
type mark struct {
	text string

	// own is the stamp of the commit of this Store that left an open run, or a held
	// message without a name, so: while this Store is alone, it still is. 0: that is
	// not known.
	own int64
}

// unread marks what was not read, and may be as it likes.
var unread = mark{text: "*"}

// extent is what was in a range of an ordered set.
type extent struct {
	set, from, to string
	limit         int
	members       []string
}

// read reads what keys name.
func (s *Store) read(ctx context.Context, keys store.Keys) (*reading, error) {
	r := &reading{keys: keys}
	r.keys.Messages = slices.Compact(slices.Sorted(slices.Values(keys.Messages)))
	r.keys.Runs = slices.Compact(slices.Sorted(slices.Values(keys.Runs)))
	holds := holdsOnly(r.keys)
	asked := time.Now()
	a, err := s.list(ctx, readScript, s.questions(r, holds)...)
	if err != nil {
		return nil, err
	}
	r.snap = &store.Snapshot{Now: store.Instant(a.number()), Alive: a.number() == 1}
	if s.config.Options.Now == nil {
		s.pace.Heard(asked, r.snap.Now)
	}
	return r, r.take(&a, holds)
}

// holdsOnly lists the messages of which only the holder is wanted, sorted.
func holdsOnly(k store.Keys) []int64 {
	only := make([]int64, 0, len(k.Holds))
	for _, seq := range k.Holds {
		if _, whole := slices.BinarySearch(k.Messages, seq); !whole {
			only = append(only, seq)
		}
	}
	slices.Sort(only)
	return slices.Compact(only)
}

// questions writes the arguments of the script. take reads the answers in the
// same order.
func (s *Store) questions(r *reading, holds []int64) []any {
	k := &r.keys
	q := make([]any, 0, 16+len(holds)+len(k.Messages)+len(k.Runs)+len(k.RunIDs)+len(k.Rows))
	q = append(q, s.clock(), numOrNone(k.Worker))
	q = askBlocks(q, "h", "m:", holds)
	q = askBlocks(q, "g", "m:", k.Messages)
	q = askBlocks(q, "g", "r:", k.Runs)
	for ids := range slices.Chunk(k.RunIDs, most) {
		q = append(q, "i", len(ids))
		q = addAll(q, ids)
	}
	for rows := range slices.Chunk(k.Rows, most) {
		q = append(q, "g", "row", len(rows))
		for _, key := range rows {
			q = append(q, memberOf(key))
		}
	}
	for _, l := range k.Lists {
		from, to := rangeOf(l)
		q = append(q, "l", from, to, max(l.Limit, 0))
	}
	for _, f := range k.Free {
		from, to := rangeOfRun(f.Run)
		q = append(q, "f", from, to, freeLimit(f))
	}
	for names := range slices.Chunk(k.Named, most) {
		q = append(q, "n", len(names))
		for _, n := range names {
			q = append(q, nameOf(n))
		}
	}
	return q
}

// askBlocks asks for numbers, which are sorted, in pieces that are in one block.
func askBlocks(q []any, question, prefix string, numbers []int64) []any {
	for piece := range inBlocks(numbers, func(n int64) int64 { return n }) {
		q = append(q, question, prefix+blockOf(piece[0]), len(piece))
		for _, n := range piece {
			q = append(q, store.Num(n))
		}
	}
	return q
}

func addAll(q []any, list []string) []any {
	for _, v := range list {
		q = append(q, v)
	}
	return q
}

func numOrNone(n int64) string {
	if n == 0 {
		return ""
	}
	return store.Num(n)
}

func rangeOf(l store.List) (from, to string) {
	owner := ownerOf(l.Kind, l.Owner)
	return "[" + owner + ownerEnd, "(" + owner + ownerPast
}

func rangeOfRun(run int64) (from, to string) {
	n := store.Num(run)
	return "[" + n, "[" + n + "~"
}

// freeLimit is how many free messages are read; run 0 is no run.
func freeLimit(f store.Free) int {
	if f.Run == 0 {
		return 0
	}
	return max(f.Limit, 0)
}

func nameOf(n store.Named) string { return store.Num(n.Run) + n.Name }

// take fills the snapshot.
func (r *reading) take(a *answers, holds []int64) error {
	r.takeHolds(a, holds)
	if err := r.takeMessages(a); err != nil {
		return err
	}
	if err := r.takeRuns(a); err != nil {
		return err
	}
	if err := r.takeRunIDs(a); err != nil {
		return err
	}
	if err := r.takeRows(a); err != nil {
		return err
	}
	if err := r.takeLists(a); err != nil {
		return err
	}
	if err := r.takeFree(a); err != nil {
		return err
	}
	return r.takeNamed(a)
}

// room returns a map for n entries, if there are any.
func room[K comparable, V any](n int) map[K]V {
	if n == 0 {
		return nil
	}
	return make(map[K]V, n)
}

func (r *reading) takeHolds(a *answers, holds []int64) {
	r.snap.Holds = room[int64, store.Hold](len(r.keys.Holds))
	r.messages = make([]standing[int64], 0, len(holds)+len(r.keys.Messages))
	for _, seq := range holds {
		v, ok := a.text()
		r.messages = append(r.messages, standing[int64]{Key: seq, Mark: mark{text: v}})
		var h store.Hold
		if ok && len(v) == holderSize {
			h = store.Hold{Exists: true, Worker: number(v[stampSize:])}
		}
		r.snap.Holds[seq] = h
	}
}

func (r *reading) takeMessages(a *answers) error {
	r.snap.Messages = room[int64, *store.Message](len(r.keys.Messages))
	for _, seq := range r.keys.Messages {
		v, ok := a.text()
		m, err := r.noteMessage(seq, v, ok)
		if err != nil {
			return err
		}
		r.snap.Messages[seq] = m
	}
	for _, seq := range r.keys.Holds {
		if m, whole := r.snap.Messages[seq]; whole && m != nil {
			r.snap.Holds[seq] = store.Hold{Exists: true, Worker: m.Worker}
		} else if whole {
			r.snap.Holds[seq] = store.Hold{}
		}
	}
	return nil
}

// noteMessage decodes a message, and notes how it stood.
func (r *reading) noteMessage(seq int64, v string, ok bool) (*store.Message, error) {
	if !ok {
		r.messages = append(r.messages, standing[int64]{Key: seq})
		return nil, nil
	}
	m, err := messageOf(seq, v)
	if err != nil {
		return nil, err
	}
	r.messages = append(r.messages, standing[int64]{Key: seq, Mark: mark{text: v[:holderSize]}})
	return m, nil
}

func (r *reading) noteRun(key int64, v string, ok bool) (*store.Run, error) {
	if !ok {
		r.runs = append(r.runs, standing[int64]{Key: key})
		return nil, nil
	}
	run, err := runOf(key, v)
	if err != nil {
		return nil, err
	}
	r.runs = append(r.runs, standing[int64]{Key: key, Mark: mark{text: v[:stampSize]}})
	return run, nil
}

func (r *reading) noteRow(key store.RowKey, v string, ok bool) (*store.Row, error) {
	if !ok {
		r.rows = append(r.rows, standing[store.RowKey]{Key: key})
		return nil, nil
	}
	row, err := rowOf(key, v)
	if err != nil {
		return nil, err
	}
	r.rows = append(r.rows, standing[store.RowKey]{Key: key, Mark: mark{text: v[:stampSize]}})
	return row, nil
}

func (r *reading) takeRuns(a *answers) error {
	r.snap.Runs = room[int64, *store.Run](len(r.keys.Runs))
	for _, key := range r.keys.Runs {
		v, ok := a.text()
		run, err := r.noteRun(key, v, ok)
		if err != nil {
			return err
		}
		r.snap.Runs[key] = run
	}
	return nil
}

func (r *reading) takeRunIDs(a *answers) error {
	r.snap.RunIDs = room[string, *store.Run](len(r.keys.RunIDs))
	for _, id := range r.keys.RunIDs {
		key, _ := a.text()
		v, ok := a.text()
		r.ids = append(r.ids, standing[string]{Key: id, Mark: mark{text: key}})
		r.snap.RunIDs[id] = nil
		if key == "" {
			continue
		}
		run, err := r.noteRun(number(key), v, ok)
		if err != nil {
			return err
		}
		r.snap.RunIDs[id] = run
	}
	return nil
}

func (r *reading) takeRows(a *answers) error {
	r.snap.Rows = room[store.RowKey, *store.Row](len(r.keys.Rows))
	for _, key := range r.keys.Rows {
		v, ok := a.text()
		row, err := r.noteRow(key, v, ok)
		if err != nil {
			return err
		}
		r.snap.Rows[key] = row
	}
	return nil
}

func (r *reading) takeLists(a *answers) error {
	r.snap.Lists = room[store.List, []*store.Row](len(r.keys.Lists))
	for _, l := range r.keys.Lists {
		e := extent{set: "rows", limit: max(l.Limit, 0)}
		e.from, e.to = rangeOf(l)
		var list []*store.Row
		for range a.number() {
			member, _ := a.text()
			v, ok := a.text()
			row, err := r.noteRow(keyOf(member), v, ok)
			if err != nil {
				return err
			}
			e.members = append(e.members, member)
			if row != nil {
				list = append(list, row)
			}
		}
		r.ranges = append(r.ranges, e)
		r.snap.Lists[l] = list
	}
	return nil
}

func (r *reading) takeFree(a *answers) error {
	r.snap.Free = room[store.Free, []*store.Message](len(r.keys.Free))
	for _, f := range r.keys.Free {
		e := extent{set: "free", limit: freeLimit(f)}
		e.from, e.to = rangeOfRun(f.Run)
		var list []*store.Message
		for range a.number() {
			seq, _ := a.text()
			v, ok := a.text()
			m, err := r.noteMessage(number(seq), v, ok)
			if err != nil {
				return err
			}
			e.members = append(e.members, store.Num(f.Run)+seq)
			if m != nil {
				list = append(list, m)
			}
		}
		r.ranges = append(r.ranges, e)
		r.snap.Free[f] = list
	}
	return nil
}

func (r *reading) takeNamed(a *answers) error {
	r.snap.Named = room[store.Named, *store.Message](len(r.keys.Named))
	for _, n := range r.keys.Named {
		seq, _ := a.text()
		v, ok := a.text()
		r.names = append(r.names, standing[string]{Key: nameOf(n), Mark: mark{text: seq}})
		r.snap.Named[n] = nil
		if seq == "" {
			continue
		}
		m, err := r.noteMessage(number(seq), v, ok)
		if err != nil {
			return err
		}
		r.snap.Named[n] = m
	}
	return nil
}

// sorted brings what was read into the order of keys, each once.
func sorted(list []standing[int64]) []standing[int64] {
	byKey := func(a, b standing[int64]) int { return compare(a.Key, b.Key) }
	if !slices.IsSortedFunc(list, byKey) {
		slices.SortStableFunc(list, byKey)
	}
	return slices.CompactFunc(list, func(a, b standing[int64]) bool { return a.Key == b.Key })
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// find finds a number in a sorted list.
func find(list []standing[int64], key int64) (i int, ok bool) {
	return slices.BinarySearchFunc(list, key, func(s standing[int64], k int64) int { return compare(s.Key, k) })
}

// there reports whether what has a number, in a sorted list, was read and there.
func there(list []standing[int64], key int64) bool {
	i, ok := find(list, key)
	return ok && list[i].Mark.text != "" && list[i].Mark != unread
}

// joined names all that two sets of keys name.
func joined(a, b store.Keys) store.Keys {
	if b.Worker == 0 {
		b.Worker = a.Worker
	}
	return store.Keys{
		Worker:   b.Worker,
		Holds:    slices.Concat(a.Holds, b.Holds),
		Messages: slices.Concat(a.Messages, b.Messages),
		Runs:     slices.Concat(a.Runs, b.Runs),
		RunIDs:   union(a.RunIDs, b.RunIDs, strings.Compare),
		Rows:     union(a.Rows, b.Rows, compareKeys),
		Lists:    slices.Concat(a.Lists, b.Lists),
		Free:     slices.Concat(a.Free, b.Free),
		Named:    slices.Concat(a.Named, b.Named),
	}
}

func union[T comparable](a, b []T, by func(T, T) int) []T {
	all := slices.Concat(a, b)
	slices.SortFunc(all, by)
	return slices.Compact(all)
}

func compareKeys(a, b store.RowKey) int {
	if a.Kind != b.Kind {
		return int(a.Kind) - int(b.Kind)
	}
	if c := strings.Compare(a.Owner, b.Owner); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// inBlocks gives pieces of a list, which is sorted by number, that are in one
// block each and not too long.
func inBlocks[T any](list []T, key func(T) int64) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(list) > 0 {
			n := 1
			for n < len(list) && n < most && sameBlock(key(list[0]), key(list[n])) {
				n++
			}
			if !yield(list[:n:n]) {
				return
			}
			list = list[n:]
		}
	}
}
