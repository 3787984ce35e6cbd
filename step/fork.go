package step

import (
	"fmt"

	"github.com/millrace-go/millrace/store"
)

// nameForks gives each fork that a join of the step waits for the name of
// that join's row, so that its children can be born with it.
func (v *view) nameForks(s *scopeOfStep, ds []Decision) {
	for _, d := range ds {
		j, ok := d.(Join)
		if !ok || j.Fork == nil {
			continue
		}
		if s.forks == nil {
			s.forks = map[*Fork]string{}
		}
		if s.forks[j.Fork] != "" {
			panic(errInvalid{fmt.Errorf("task %s: two joins over one fork", s.m.Task)})
		}
		name := j.Name
		if name == "" {
			name = "#" + store.Num(v.seq())
		}
		s.forks[j.Fork] = name
	}
}

// fork brings forth the children of a fork: at once, or chunk by chunk when
// they were staged.
func (v *view) fork(s *scopeOfStep, f *Fork) {
	name := s.forks[f]
	for i := range f.Sends {
		send := f.Sends[i]
		m := v.send(s.r, s.childID(), &send)
		m.Join, m.Index = name, i
		s.entry.sent(m)
	}
	if f.Chunks == 0 {
		return
	}
	rel := store.Message{
		Kind: store.Release, ID: s.childID(), Scope: store.Num(s.m.Seq), Join: name, Index: len(f.Sends),
		Number: int64(f.First), Staged: f.First + f.Chunks,
	}
	if s.r != nil {
		rel.Run, rel.RunID = s.r.Key, s.r.ID
		s.r.Open++
	}
	s.entry.More += f.Staged
	v.internalMessage(rel)
}

// stagedChunks counts the chunks that the decisions use.
func stagedChunks(ds []Decision) int {
	n := 0
	for _, d := range ds {
		if f, ok := d.(*Fork); ok && f.Chunks > 0 {
			n = max(n, f.First+f.Chunks)
		}
	}
	return n
}

// stage puts a chunk of a fork aside, where nobody sees it before the step's
// commit. The message remembers how many there are, so that whatever becomes
// of it, none stays behind.
func (v *view) stage(m *store.Message, o *Outcome) {
	v.put(store.Chunk, store.Num(m.Seq), store.Num(int64(o.Chunk)), &ChunkRow{Sends: o.Sends})
	m.Staged = max(m.Staged, o.Chunk+1)
	v.putMessage(m)
}

// dropChunks deletes what an execution of m staged and its outcome does not
// use.
func (v *view) dropChunks(m *store.Message, used int) {
	if m.Kind != store.Task {
		return
	}
	for i := used; i < m.Staged; i++ {
		v.delete(store.Chunk, store.Num(m.Seq), store.Num(int64(i)))
	}
}

// releaseChunk hands out one chunk of a staged fork, and goes on to the next
// in a commit of its own.
func (v *view) releaseChunk(m *store.Message) {
	var r *runView
	if m.Run != 0 {
		r = v.run(m.Run)
	}
	chunk := get[ChunkRow](v, store.Chunk, m.Scope, store.Num(m.Number))
	if chunk == nil {
		panic(errDamaged{fmt.Errorf("%w: chunk %d of a fork of run %s is missing", store.ErrCorrupt, m.Number, m.RunID)})
	}
	v.delete(store.Chunk, m.Scope, store.Num(m.Number))
	entry := &Entry{Kind: "released", Message: m.ID}
	if m.Run == 0 || (r != nil && !r.Status.Stopped()) {
		for i := range chunk.Sends {
			child := v.send(r, ChildID(m.ID, m.Index+i), &chunk.Sends[i])
			child.Join, child.Index = m.Join, m.Index+i
		}
		entry.More = len(chunk.Sends)
	}
	m.Number++
	m.Index += len(chunk.Sends)
	if m.Number < int64(m.Staged) {
		v.hand(m)
	} else {
		v.deleteMessage(m.Seq)
		v.counts.Done++
		if r != nil {
			r.Open--
		}
	}
	if r != nil {
		v.settle(r, entry)
	}
}

// arrive tells the join over a fork that one of its children has ended.
func (v *view) arrive(r *runView, m *store.Message, result ResultRow) {
	old := get[JoinRow](v, store.Join, Owner(r.Key, ""), m.Join)
	if old == nil || r.Status.Stopped() {
		return
	}
	row := *old
	if result.Failed {
		row.Progress.Failed++
	} else {
		row.Progress.Done++
	}
	if result.Failed || len(result.Data) > 0 {
		v.put(store.Result, ResultOwner(r.Key, m.Join), store.Num(int64(m.Index)), &result)
	}
	if row.Rule.Fulfilled(&row.Progress) {
		v.closeJoin(r.Key, "", m.Join, &row)
		v.fire("", &row, m.Join, row.Then, false)
		return
	}
	v.put(store.Join, Owner(r.Key, ""), m.Join, &row)
}
