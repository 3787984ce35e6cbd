package step

import (
	"fmt"
	"strings"

	"github.com/millrace-go/millrace/store"
)

// nameForks gives each fork that a join of the step waits for the name that
// its children are born with. It ends with a number, so that children of a
// fork whose join has ended are none of the next join's of that name.
func (v *view) nameForks(s *scopeOfStep, ds []Decision) {
	for _, d := range ds {
		f, ok := d.(*Fork)
		if !ok {
			continue
		}
		if _, twice := s.forks[f]; twice {
			panic(errInvalid{fmt.Errorf("task %s: a fork is decided twice", s.m.Task)})
		}
		if s.forks == nil {
			s.forks = map[*Fork]string{}
		}
		s.forks[f] = ""
	}
	for _, d := range ds {
		if j, ok := d.(Join); ok && j.Fork != nil {
			v.nameFork(s, &j)
		}
	}
}

func (v *view) nameFork(s *scopeOfStep, j *Join) {
	name, ok := s.forks[j.Fork]
	switch {
	case !ok:
		panic(errInvalid{fmt.Errorf("task %s: join over a fork that is not of the same step", s.m.Task)})
	case name != "":
		panic(errInvalid{fmt.Errorf("task %s: two joins over one fork", s.m.Task)})
	case j.Scope != "":
		panic(errInvalid{fmt.Errorf("task %s: join over a fork in wider scope %q", s.m.Task, j.Scope)})
	}
	s.forks[j.Fork] = j.Name + "#" + store.Num(v.seq())
}

// joinOf returns the name of the join that the children of a fork are for: the
// author's, or the fork's own for a join without a name.
func joinOf(fork string) string {
	if name := fork[:max(strings.LastIndexByte(fork, '#'), 0)]; name != "" {
		return name
	}
	return fork
}

// fork brings forth the children of a fork: at once, or chunk by chunk when
// they were staged.
func (v *view) fork(s *scopeOfStep, f *Fork) {
	name, r := s.forks[f], s.target()
	for i := range f.Sends {
		m := v.send(r, s.childID(), &f.Sends[i])
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
	if r != nil {
		rel.Run, rel.RunID = r.Key, r.ID
		r.Open++
	}
	s.entry.More += f.Staged
	v.internalMessage(rel)
}

// stage puts a chunk of a fork aside, where nobody sees it before the step's
// commit. The message remembers how many there are, so that whatever becomes
// of it, none stays behind.
func (v *view) stage(m *store.Message, o *Outcome) {
	v.put(store.Chunk, store.Num(m.Seq), store.Num(int64(o.Chunk)), &ChunkRow{Sends: o.Sends})
	m.Staged = max(m.Staged, o.Chunk+1)
	v.putMessage(m)
}

// dropChunks deletes what executions of m staged, but for what the decisions
// use.
func (v *view) dropChunks(m *store.Message, used []Decision) {
	if m.Kind != store.Task {
		return
	}
	for i := range m.Staged {
		if !uses(used, i) {
			v.delete(store.Chunk, store.Num(m.Seq), store.Num(int64(i)))
		}
	}
}

// unstage is for an execution that came to nothing.
func (v *view) unstage(m *store.Message) {
	if m.Kind == store.Task { // of a Release, Staged says where it ends
		v.dropChunks(m, nil)
		m.Staged = 0
	}
}

func uses(ds []Decision, chunk int) bool {
	for _, d := range ds {
		if f, ok := d.(*Fork); ok && chunk >= f.First && chunk < f.First+f.Chunks {
			return true
		}
	}
	return false
}

// releaseChunk hands out one chunk of a staged fork, and goes on to the next
// in a commit of its own.
func (v *view) releaseChunk(m *store.Message) {
	r := v.runOf(m)
	chunk := get[ChunkRow](v, store.Chunk, m.Scope, store.Num(m.Number))
	if chunk == nil {
		panic(errDamaged{fmt.Errorf("%w: chunk %d of a fork of run %s is missing", store.ErrCorrupt, m.Number, m.RunID)})
	}
	v.delete(store.Chunk, m.Scope, store.Num(m.Number))
	entry := &Entry{Kind: "released", Message: m.ID}
	if m.Run == 0 || (r != nil && !r.Status.Stopped()) {
		for i := range chunk.Sends {
			child := v.sendLater(r, ChildID(m.ID, m.Index+i), &chunk.Sends[i])
			child.Join, child.Index = m.Join, m.Index+i
		}
		entry.More = len(chunk.Sends)
	}
	m.Number++
	m.Index += len(chunk.Sends)
	if m.Number < int64(m.Staged) {
		v.hand(m)
	} else {
		v.end(m)
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
	name := joinOf(m.Join)
	old := get[JoinRow](v, store.Join, Owner(r.Key, ""), name)
	if old == nil || old.Fork != m.Join || r.Status.Stopped() {
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
		v.closeJoin(r.Key, "", name, &row)
		v.fire("", &row, row.Then, false)
		return
	}
	v.put(store.Join, Owner(r.Key, ""), name, &row)
}
