package redis

import (
	"errors"
	"fmt"
	"slices"

	"github.com/millrace-go/millrace/store"
)

// writing turns changes into the arguments of the commit's script: checks, an
// exclamation mark, and writes.
type writing struct {
	*reading
	changes *store.Changes
	first   int64 // number that the commit was given
	alone   int64 // see lane.alone

	args  []any
	freed bool // messages become free that somebody may wait for
}

func (w *writing) arguments(translate func([]store.Publication) ([]store.Statement, error)) ([]any, error) {
	c := w.changes
	w.args = make([]any, 0, 64+3*(len(w.messages)+len(w.runs)+len(w.rows))+
		2*(len(c.PutMessages)+len(c.PutRuns)+len(c.PutRows))+len(c.DeleteMessages)+len(c.DeleteRows))
	w.args = append(w.args, numOrNone(w.keys.Worker), bit(w.snap.Alive), tokenOrNone(w.alone))
	w.messages, w.runs = sorted(w.messages), sorted(w.runs)
	if err := w.numbersWereGiven(); err != nil {
		return nil, err
	}
	w.touch()
	w.check()
	if err := w.publish(translate); err != nil {
		return nil, err
	}
	newRuns, oldRuns := w.splitRuns()
	if err := w.claimIDs(newRuns); err != nil {
		return nil, err
	}
	w.args = append(w.args, "!")
	if err := w.putMessages(); err != nil {
		return nil, err
	}
	w.putRuns(newRuns, oldRuns)
	w.putRows()
	if w.freed {
		w.args = append(w.args, "F")
	}
	return w.args, nil
}

// isNew reports whether a number was given to this commit.
func (w *writing) isNew(n int64) bool { return n >= w.first && n < w.first+w.changes.Seqs }

// numbersWereGiven refuses numbers that nobody was given: they would collide
// with later ones. What was read is there.
func (w *writing) numbersWereGiven() error {
	for _, m := range w.changes.PutMessages {
		if m.Seq <= 0 || m.Seq >= w.first+w.changes.Seqs && !there(w.messages, m.Seq) {
			return fmt.Errorf("message %d: the number was not given out", m.Seq)
		}
	}
	for _, r := range w.changes.PutRuns {
		if r.Key <= 0 || r.Key >= w.first+w.changes.Seqs && !there(w.runs, r.Key) {
			return fmt.Errorf("run %d: the number was not given out", r.Key)
		}
	}
	return nil
}

// touch adds what is changed and was not read, so that the script knows how it
// stands when it changes it.
func (w *writing) touch() {
	messages, runs := len(w.messages), len(w.runs)
	for _, m := range w.changes.PutMessages {
		if i, ok := find(w.messages[:messages], m.Seq); ok {
			w.messages[i].Mark.own = 0 // the script must know where it is entered
		} else if !w.isNew(m.Seq) {
			w.messages = append(w.messages, standing[int64]{Key: m.Seq, Mark: unread})
		}
	}
	for _, seq := range w.changes.DeleteMessages {
		if _, ok := find(w.messages[:messages], seq); !ok {
			w.messages = append(w.messages, standing[int64]{Key: seq, Mark: unread})
		}
	}
	for _, r := range w.changes.PutRuns {
		if _, ok := find(w.runs[:runs], r.Key); !ok && !w.isNew(r.Key) {
			w.runs = append(w.runs, standing[int64]{Key: r.Key, Mark: unread})
		}
	}
	w.messages, w.runs = sorted(w.messages), sorted(w.runs)
	for _, r := range w.changes.PutRows {
		w.touchRow(r.RowKey)
	}
	for _, key := range w.changes.DeleteRows {
		w.touchRow(key)
	}
}

func (w *writing) touchRow(key store.RowKey) {
	if _, read := w.snap.Rows[key]; !read {
		w.rows = append(w.rows, standing[store.RowKey]{Key: key, Mark: unread})
	}
}

// check writes how all that was read stood.
func (w *writing) check() {
	key := func(s standing[int64]) int64 { return s.Key }
	block := func(op, prefix string, list []standing[int64]) {
		for piece := range inBlocks(list, key) {
			w.args = append(w.args, op, prefix+blockOf(piece[0].Key), len(piece))
			w.args = standings(w.args, piece, store.Num)
		}
	}
	messages, own := w.split(w.messages)
	block("m", "m:", messages)
	block("mo", "m:", own)
	runs, own := w.split(w.runs)
	block("r", "r:", runs)
	block("ro", "r:", own)
	for piece := range slices.Chunk(w.rows, most) {
		w.args = append(w.args, "o", len(piece))
		w.args = standings(w.args, piece, memberOf)
	}
	itself := func(s string) string { return s }
	for piece := range slices.Chunk(w.ids, most) {
		w.args = append(w.args, "k", "id", len(piece))
		w.args = standings(w.args, piece, itself)
	}
	for piece := range slices.Chunk(w.names, most) {
		w.args = append(w.args, "k", "name", len(piece))
		w.args = standings(w.args, piece, itself)
	}
	for _, e := range w.ranges {
		w.args = append(w.args, "l", e.set, e.from, e.to, e.limit, len(e.members))
		w.args = addAll(w.args, e.members)
	}
}

// split takes out of a list what this Store has left so while it was alone: the
// script looks at that only if it is not alone any more.
func (w *writing) split(list []standing[int64]) (others, own []standing[int64]) {
	if w.alone == 0 {
		return list, nil
	}
	is := func(s standing[int64]) bool { return s.Mark.own >= w.alone }
	if !slices.ContainsFunc(list, func(s standing[int64]) bool { return !is(s) }) {
		return nil, list
	}
	for _, s := range list {
		if is(s) {
			own = append(own, s)
		} else {
			others = append(others, s)
		}
	}
	return others, own
}

// standings writes keys, then marks.
func standings[K comparable](args []any, list []standing[K], name func(K) string) []any {
	for _, s := range list {
		args = append(args, name(s.Key))
	}
	for _, s := range list {
		args = append(args, s.Mark.text)
	}
	return args
}

func (w *writing) publish(translate func([]store.Publication) ([]store.Statement, error)) error {
	if len(w.changes.Publish) == 0 {
		return nil
	}
	if translate == nil {
		return fmt.Errorf("%d messages are to be published, and PublishBy was not called", len(w.changes.Publish))
	}
	statements, err := translate(w.changes.Publish)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	for _, st := range statements {
		w.args = append(w.args, "x", 1+len(st.Args), st.Text)
		w.args = append(w.args, st.Args...)
	}
	return nil
}

// putMessages writes deletions first, so that a name can move on.
func (w *writing) putMessages() error {
	gone := slices.Sorted(slices.Values(w.changes.DeleteMessages))
	for piece := range inBlocks(slices.Compact(gone), func(n int64) int64 { return n }) {
		w.args = append(w.args, "D", blockOf(piece[0]), len(piece))
		for _, seq := range piece {
			w.args = append(w.args, store.Num(seq))
		}
	}
	var plain, others, old []*store.Message
	for _, m := range w.changes.PutMessages {
		w.freed = w.freed || !m.Held() && m.Due != store.Never
		switch {
		case !w.isNew(m.Seq):
			old = append(old, m)
		case m.Held() && m.Name == "":
			plain = append(plain, m)
		default:
			others = append(others, m)
		}
	}
	return errors.Join(w.puts("U", old), w.puts("H", plain), w.puts("I", others))
}

func (w *writing) puts(op string, list []*store.Message) error {
	seq := func(m *store.Message) int64 { return m.Seq }
	slices.SortFunc(list, func(a, b *store.Message) int { return compare(a.Seq, b.Seq) })
	for piece := range inBlocks(list, seq) {
		w.args = append(w.args, op, blockOf(piece[0].Seq), len(piece))
		for _, m := range piece {
			v, err := messageValue(w.first, m)
			if err != nil {
				return err
			}
			w.args = append(w.args, store.Num(m.Seq), v)
		}
	}
	return nil
}

func (w *writing) splitRuns() (newer, old []*store.Run) {
	for _, r := range w.changes.PutRuns {
		if w.isNew(r.Key) {
			newer = append(newer, r)
		} else {
			old = append(old, r)
		}
	}
	byKey := func(a, b *store.Run) int { return compare(a.Key, b.Key) }
	slices.SortFunc(newer, byKey)
	slices.SortFunc(old, byKey)
	return newer, old
}

// claimIDs checks that nobody has the ids of new runs.
func (w *writing) claimIDs(runs []*store.Run) error {
	ids := make(map[string]bool, len(runs))
	for _, r := range runs {
		if ids[r.ID] {
			return fmt.Errorf("id %q is that of two new runs", r.ID)
		}
		ids[r.ID] = true
	}
	for piece := range slices.Chunk(runs, most) {
		w.args = append(w.args, "u", len(piece))
		for _, r := range piece {
			w.args = append(w.args, r.ID)
		}
	}
	return nil
}

func (w *writing) putRuns(newer, old []*store.Run) {
	for piece := range slices.Chunk(newer, most) {
		w.args = append(w.args, "K", len(piece))
		for _, r := range piece {
			w.args = append(w.args, r.ID, store.Num(r.Key))
		}
	}
	w.runsOf("R", newer)
	w.runsOf("S", old)
}

func (w *writing) runsOf(op string, runs []*store.Run) {
	for piece := range inBlocks(runs, func(r *store.Run) int64 { return r.Key }) {
		w.args = append(w.args, op, blockOf(piece[0].Key), len(piece))
		for _, r := range piece {
			w.args = append(w.args, store.Num(r.Key), runValue(w.first, r))
		}
	}
}

func (w *writing) putRows() {
	for piece := range slices.Chunk(w.changes.DeleteRows, most) {
		w.args = append(w.args, "X", len(piece))
		for _, key := range piece {
			w.args = append(w.args, memberOf(key))
		}
	}
	for piece := range slices.Chunk(w.changes.PutRows, most) {
		w.args = append(w.args, "O", len(piece))
		for _, r := range piece {
			w.args = append(w.args, memberOf(r.RowKey), rowValue(w.first, r))
		}
	}
}
