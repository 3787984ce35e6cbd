// Package doctor examines a store: whether every message that was accepted is
// open, done, dead or cancelled, whether each run's row says what is there of
// it, and whether its history verifies. It also tells what waits for a human:
// dead letters and stalled runs.
//
// It only reads, a page at a time, in bounded memory. The store may be in use.
package doctor

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/millrace-go/millrace/store"
)

// Kind is the sort of a finding.
type Kind string

// The first ones say that rows contradict each other. The others are no
// faults: they tell what an operator may want to know.
const (
	Conservation Kind = "conservation" // counters and messages don't add up
	Counts       Kind = "counts"       // a run's row miscounts what is open
	History      Kind = "history"      // a run's history does not verify, or contradicts its row
	Damaged      Kind = "damaged"      // a row does not decode
	Orphan       Kind = "orphan"       // a row, or message, without that which it belongs to
	Lock         Kind = "lock"         // an exclusive key that nobody will give back
	Deadline     Kind = "deadline"     // a join whose deadline will not come

	Stray      Kind = "stray"       // a message held by a worker that is not there: it is about to be freed
	Stalled    Kind = "stalled"     // a run that only waits for events that nobody can emit any more
	DeadLetter Kind = "dead letter" // a message that failed for good
)

// Fault reports whether findings of this kind mean that the store's rows
// contradict each other.
func (k Kind) Fault() bool { return k != Stray && k != Stalled && k != DeadLetter }

// Finding is one thing that was found.
type Finding struct {
	Kind    Kind
	Run     string // id of the run; empty: of none
	Message string // id of the message; empty: about none
	Text    string // one line

	subject string // which row it is about, so that a second look knows it again
}

func (f Finding) String() string {
	parts := []string{string(f.Kind)}
	if f.Run != "" {
		parts = append(parts, "run "+f.Run)
	}
	if f.Message != "" {
		parts = append(parts, "message "+f.Message)
	}
	return strings.Join(append(parts, f.Text), ": ")
}

type identity struct {
	kind                  Kind
	run, message, subject string
}

func (f *Finding) identity() identity { return identity{f.Kind, f.Run, f.Message, f.subject} }

// Report is what an examination has found.
type Report struct {
	Findings []Finding
	Cut      bool // there are more findings than Options.Most
	Messages int64
	Runs     int64
	Accepted int64 // by the counters
	Done     int64
	Dead     int64
	Cancels  int64
}

// Faults returns the findings that are faults.
func (r *Report) Faults() []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return !f.Kind.Fault() })
}

// Options of an examination. The zero Options is good for most stores.
type Options struct {
	Page   int // rows that are read at once; default 500
	Window int // runs whose counts are kept in memory at once; default 50,000
	Most   int // most findings; default 1000
	Looks  int // a fault is reported if so many looks in a row find it; default 2

	// Wait lets some time pass before another look at a store in which faults
	// were found. Default: one second.
	Wait func(context.Context) error
}

func (o Options) withDefaults() Options {
	o.Page = cmp.Or(max(o.Page, 0), 500)
	o.Window = cmp.Or(max(o.Window, 0), 50_000)
	o.Most = cmp.Or(max(o.Most, 0), 1000)
	o.Looks = cmp.Or(max(o.Looks, 0), 2)
	if o.Wait == nil {
		o.Wait = waitSecond
	}
	return o
}

func waitSecond(ctx context.Context) error {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Examine looks through the whole store. The store may be in use: what is
// under way looks like a fault at times, so faults are reported only if
// another look finds them again. The error is the store's, or the context's;
// what was found is not an error.
func Examine(ctx context.Context, s store.Store, o Options) (Report, error) {
	o = o.withDefaults()
	report, err := look(ctx, s, o)
	for n := 1; n < o.Looks && err == nil && len(report.Faults()) > 0; n++ {
		if err = o.Wait(ctx); err != nil {
			break
		}
		before := report
		if report, err = look(ctx, s, o); err == nil {
			report.keepKnown(&before)
		}
	}
	return report, err
}

// keepKnown drops faults that the look before has not found.
func (r *Report) keepKnown(before *Report) {
	known := map[identity]bool{}
	for i := range before.Findings {
		known[before.Findings[i].identity()] = true
	}
	r.Findings = slices.DeleteFunc(r.Findings, func(f Finding) bool { return f.Kind.Fault() && !known[f.identity()] })
}
