package step

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/millrace-go/millrace/store"
)

// ErrHistory says that a run's history was tampered with, or damaged.
var ErrHistory = errors.New("history does not verify")

// Verify walks a run's history, the pages in their order and then the tail,
// and checks each entry against the chain of hashes and the head that the
// run's row keeps. It returns the entries up to where the chain breaks. The
// error wraps ErrHistory and says at which entry.
func Verify(r *store.Run, pages []PageRow) ([]Entry, error) {
	var (
		a       Audit
		entries []Entry
	)
	collect := func(e *Entry) error {
		entries = append(entries, *e)
		return nil
	}
	if len(pages) != r.Pages {
		return nil, fmt.Errorf("%w: run %s has %d pages, %d are there", ErrHistory, r.ID, r.Pages, len(pages))
	}
	for _, p := range pages {
		if err := a.walk(p.Entries, collect); err != nil {
			return entries, fmt.Errorf("run %s: %w", r.ID, err)
		}
	}
	if err := a.walk(r.Tail, collect); err != nil {
		return entries, fmt.Errorf("run %s: %w", r.ID, err)
	}
	return entries, a.meets(r)
}

// Replay yields from a history what the run's row says of the run: its
// status, counts, state, result and error. Only the fields that the history
// determines are set.
func Replay(entries []Entry) (store.Run, error) {
	a := Audit{run: store.Run{Status: store.Running}}
	for i := range entries {
		if err := a.replay(&entries[i]); err != nil {
			return a.run, err
		}
		a.entries++
	}
	a.run.Entries = a.entries
	return a.run, nil
}

// Audit verifies and replays a run's history piece by piece, in bounded
// memory. The zero Audit is ready for the first page.
type Audit struct {
	entries int
	head    [32]byte
	run     store.Run
}

// Add takes the next page of the history. The error wraps ErrHistory.
func (a *Audit) Add(p *PageRow) error { return a.walk(p.Entries, a.replay) }

// End takes the rest of the history from the run's row, and compares the row
// with what the history says. The error wraps ErrHistory and says what
// differs.
func (a *Audit) End(r *store.Run) error {
	if err := a.walk(r.Tail, a.replay); err != nil {
		return err
	}
	if err := a.meets(r); err != nil {
		return err
	}
	return a.compare(r)
}

func (a *Audit) walk(b []byte, each func(*Entry) error) error {
	for len(b) > 0 {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)) || len(b) < used+int(n)+len(a.head) {
			return fmt.Errorf("%w: entry %d is cut off", ErrHistory, a.entries)
		}
		body, rest := b[used:used+int(n)], b[used+int(n):]
		a.head = chain(a.head, body)
		if [32]byte(rest[:len(a.head)]) != a.head {
			return fmt.Errorf("%w: entry %d does not follow from the one before", ErrHistory, a.entries)
		}
		var e Entry
		if err := store.Unmarshal(body, &e); err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrHistory, a.entries, err)
		}
		if err := each(&e); err != nil {
			return err
		}
		a.entries++
		b = rest[len(a.head):]
	}
	return nil
}

// meets compares the end of the chain with the head that the run's row keeps.
func (a *Audit) meets(r *store.Run) error {
	if a.entries != r.Entries || a.head != r.Head {
		return fmt.Errorf("%w: run %s has %d entries, and its head says %d", ErrHistory, r.ID, a.entries, r.Entries)
	}
	return nil
}

func (a *Audit) replay(e *Entry) error {
	r := &a.run
	if a.entries == 0 {
		r.Status, r.Started = store.Running, e.At
	}
	r.Open += e.Open
	r.Waiting += e.Waiting
	r.Dead += e.Dead
	r.Undos += e.Undos
	r.Updated = e.At
	if e.Revision > 0 {
		r.State, r.Revision = e.State, e.Revision
	}
	if e.Reason != "" {
		r.Error = e.Reason
	}
	if e.Status == "" {
		return nil
	}
	s, err := store.ParseStatus(e.Status)
	if err != nil {
		return fmt.Errorf("%w: entry %d: %w", ErrHistory, a.entries, err)
	}
	r.Status = s
	if s.Closed() {
		r.Ended, r.Result = e.At, e.Result
	}
	return nil
}

// compare says what of a run's row its history contradicts.
func (a *Audit) compare(r *store.Run) error {
	h := &a.run
	for _, f := range []struct {
		what string
		same bool
		row  any
		says any
	}{
		{"status", h.Status == r.Status, r.Status, h.Status},
		{"open", h.Open == r.Open, r.Open, h.Open},
		{"waiting", h.Waiting == r.Waiting, r.Waiting, h.Waiting},
		{"dead letters", h.Dead == r.Dead, r.Dead, h.Dead},
		{"undos", h.Undos == r.Undos, r.Undos, h.Undos},
		{"revision", h.Revision == r.Revision, r.Revision, h.Revision},
		{"state", bytes.Equal(h.State, r.State), len(r.State), len(h.State)},
		{"result", bytes.Equal(h.Result, r.Result), len(r.Result), len(h.Result)},
		{"error", h.Error == r.Error, r.Error, h.Error},
		{"start", h.Started == r.Started, r.Started, h.Started},
		{"last change", h.Updated == r.Updated, r.Updated, h.Updated},
		{"end", h.Ended == r.Ended, r.Ended, h.Ended},
	} {
		if !f.same {
			return fmt.Errorf("%w: %s of run %s is %v, and its history says %v", ErrHistory, f.what, r.ID, f.row, f.says)
		}
	}
	return nil
}
