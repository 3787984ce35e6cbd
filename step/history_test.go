package step_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory

// long makes a run with pages of history and some of everything in it.
func (s *sim) long(id string) *store.Run {
	s.t.Helper()
	n := 0
	s.on["s/long"] = func(*store.Message, *store.Run) deed {
		if n++; n > 40 {
			return do(step.Fail{Reason: "enough"})
		}
		return do(step.Send{Task: "s/long", After: time.Second}, step.Record{Kind: "note", Data: fmt.Append(nil, n)}, emit(fmt.Sprint("e", n)),
			undo("s/undo"), step.SetState{Data: fmt.Append(nil, "state", n)})
	}
	s.leaf("s/undo")
	s.start(id, "s/long")
	s.advance(time.Hour)
	r := s.run(id)
	if r.Pages < 3 || len(r.Tail) == 0 {
		s.t.Fatalf("history has %d pages and a tail of %d bytes", r.Pages, len(r.Tail))
	}
	return r
}

// The history verifies, and its replay yields the row.
//
// H1, H2
func TestReplay(t *testing.T) {
	s := newSim(t)
	r := s.long("r")
	entries := s.history("r")
	got, err := step.Replay(entries)
	s.must(err)
	want := store.Run{
		Status: r.Status, Ended: r.Ended, Open: r.Open, Waiting: r.Waiting, Dead: r.Dead, Undos: r.Undos, State: r.State,
		Revision: r.Revision, Result: r.Result, Error: r.Error, Started: r.Started, Updated: r.Updated, Entries: r.Entries,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("replay %+v\nrow %+v", got, want)
	}
	last := store.Instant(0)
	for i, e := range entries {
		if e.At < last {
			t.Fatalf("entry %d goes back in time", i)
		}
		last = e.At
	}
	if r.Status != store.Failed || r.Revision != 40 || r.Error != "enough" {
		t.Fatalf("run %+v", r)
	}
}

// A clock that is set back does not set a history back.
//
// H1, H2
func TestHistoryWhileTheClockGoesBack(t *testing.T) {
	s := newSim(t)
	n := 0
	s.on["s/back"] = func(*store.Message, *store.Run) deed {
		s.clock.Advance(-time.Minute)
		if n++; n == 5 {
			return do(step.Finish{})
		}
		return do(step.Send{Task: "s/back"})
	}
	s.start("r", "s/back")
	s.advance(0)
	r, entries := s.run("r"), s.history("r")
	last := r.Started
	for i, e := range entries {
		if e.At < last {
			t.Fatalf("entry %d goes back in time", i)
		}
		last = e.At
	}
	got, err := step.Replay(entries)
	s.must(err)
	if r.Status != store.Finished || r.Ended != last || r.Updated != last || got.Ended != last {
		t.Fatalf("ended at %d, changed at %d, the history says %d: %+v", r.Ended, r.Updated, last, r)
	}
}

// Verify finds each flipped byte of a history, wherever it is.
//
// H1
func TestFlippedByte(t *testing.T) {
	s := newSim(t)
	r := s.long("r")
	pages := s.pages(r)
	for p := range len(pages) + 1 {
		piece := r.Tail
		if p < len(pages) {
			piece = pages[p].Entries
		}
		for i := 0; i < len(piece); i += 1 + i%13 {
			bad := slices.Clone(piece)
			bad[i] ^= 1 << (i % 8)
			run, forged := *r, slices.Clone(pages)
			if p < len(pages) {
				forged[p].Entries = bad
			} else {
				run.Tail = bad
			}
			if _, err := step.Verify(&run, forged); !errors.Is(err, step.ErrHistory) {
				t.Fatalf("byte %d of piece %d flipped: %v", i, p, err)
			}
		}
	}
}

// split cuts a piece of a history into its entries.
func split(piece []byte) (entries [][]byte) {
	for len(piece) > 0 {
		n, used := binary.Uvarint(piece)
		end := used + int(n) + 32
		entries = append(entries, piece[:end])
		piece = piece[end:]
	}
	return entries
}

// Verify finds removed, swapped and foreign entries and pages, and a cut tail.
//
// H1
func TestForgedHistory(t *testing.T) {
	s := newSim(t)
	r := s.long("r")
	pages := s.pages(r)
	foreign := s.long("q")
	forge := func(change func(es [][]byte) [][]byte) []byte { return slices.Concat(change(split(r.Tail))...) }
	for name, tail := range map[string][]byte{
		"removed": forge(func(es [][]byte) [][]byte { return slices.Delete(es, 0, 1) }),
		"cut":     forge(func(es [][]byte) [][]byte { return es[:len(es)-1] }),
		"empty":   nil,
		"swapped": forge(func(es [][]byte) [][]byte { es[0], es[1] = es[1], es[0]; return es }),
		"foreign": forge(func(es [][]byte) [][]byte { return append(es, split(foreign.Tail)[0]) }),
		"twice":   forge(func(es [][]byte) [][]byte { return append(es, es[len(es)-1]) }),
		"garbage": append(slices.Clone(r.Tail), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
	} {
		run := *r
		run.Tail = tail
		entries, err := step.Verify(&run, pages)
		if !errors.Is(err, step.ErrHistory) {
			t.Errorf("%s: %v", name, err)
		}
		if len(entries) == 0 {
			t.Errorf("%s: no entries before the break", name)
		}
	}
	swapped := slices.Clone(pages)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	for name, forged := range map[string][]step.PageRow{
		"swapped": swapped, "removed": pages[1:], "none": nil, "foreign": append(s.pages(foreign)[:1:1], pages[1:]...),
	} {
		if _, err := step.Verify(r, forged); !errors.Is(err, step.ErrHistory) {
			t.Errorf("pages %s: %v", name, err)
		}
	}
}

// An exported head finds a tail that was cut together with the run's row.
//
// H1
func TestExportedHead(t *testing.T) {
	s := newSim(t)
	s.task("s/start", step.Send{Task: "s/start", After: time.Hour})
	s.start("r", "s/start")
	old := s.run("r")
	s.advance(time.Hour)
	forged := *s.run("r")
	forged.Tail, forged.Entries = old.Tail, old.Entries
	if _, err := step.Verify(&forged, nil); !errors.Is(err, step.ErrHistory) {
		t.Fatal(err)
	}
}

// An audit takes a history page by page, and says what of the row it
// contradicts.
//
// H1, H2
func TestAudit(t *testing.T) {
	s := newSim(t)
	r := s.long("r")
	audit := func(r store.Run) error {
		var a step.Audit
		for _, p := range s.pages(&r) {
			if err := a.Add(&p); err != nil {
				return err
			}
		}
		return a.End(&r)
	}
	s.must(audit(*r))
	for name, change := range map[string]func(*store.Run){
		"status": func(r *store.Run) { r.Status = store.Finished }, "open": func(r *store.Run) { r.Open++ },
		"waiting": func(r *store.Run) { r.Waiting++ }, "dead": func(r *store.Run) { r.Dead++ }, "undos": func(r *store.Run) { r.Undos++ },
		"state": func(r *store.Run) { r.State = nil }, "revision": func(r *store.Run) { r.Revision++ }, "result": func(r *store.Run) { r.Result = []byte{1} },
		"error": func(r *store.Run) { r.Error = "" }, "started": func(r *store.Run) { r.Started++ }, "updated": func(r *store.Run) { r.Updated++ },
		"ended": func(r *store.Run) { r.Ended++ }, "entries": func(r *store.Run) { r.Entries++ }, "head": func(r *store.Run) { r.Head[7]++ },
	} {
		forged := *r
		change(&forged)
		if err := audit(forged); !errors.Is(err, step.ErrHistory) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What an entry lists is bounded; the rest is counted.
//
// L6, N1
func TestLongEntries(t *testing.T) {
	s := newSim(t)
	var ds []step.Decision
	for range 100 {
		ds = append(ds, send("s/a"))
	}
	s.task("s/start", ds...)
	s.leaf("s/a")
	s.applied(begin("r", "s/start"))
	s.carryOut(s.take())
	if e := s.last("r", "step"); len(e.Sent)+e.More != 100 || len(e.Sent) > 20 {
		t.Fatalf("%d listed, %d more", len(e.Sent), e.More)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte{}, []byte{3, 1, 2, 3})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, []byte{})
	f.Fuzz(func(t *testing.T, page, tail []byte) {
		r := &store.Run{ID: "r", Pages: 1, Tail: tail}
		entries, err := step.Verify(r, []step.PageRow{{Entries: page}})
		if err == nil && len(page)+len(tail) > 0 {
			t.Fatalf("verifies: %v", entries)
		}
		var a step.Audit
		if err := a.Add(&step.PageRow{Entries: page}); err == nil && a.End(r) == nil && len(page)+len(tail) > 0 {
			t.Fatal("the audit finds nothing")
		}
	})
}

func FuzzNum(f *testing.F) {
	f.Add("0000000000001", int64(1))
	f.Add("zzzzzzzzzzzzz", int64(1<<62))
	f.Fuzz(func(t *testing.T, text string, n int64) {
		if v, ok := store.ParseNum(text); ok && v >= 0 && text[0] <= '7' && store.Num(v) != text {
			t.Fatalf("%q is %d, which is written %q", text, v, store.Num(v))
		}
		if n < 0 {
			return
		}
		if v, ok := store.ParseNum(store.Num(n)); !ok || v != n {
			t.Fatalf("%d is written %q, which is %d", n, store.Num(n), v)
		}
		if n > 0 && store.Num(n-1) >= store.Num(n) {
			t.Fatalf("%d does not sort behind the number before", n)
		}
	})
}
