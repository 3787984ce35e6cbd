package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/millrace-go/millrace/store"
)

// Method names a method of a store.
type Method string

// The methods that can fail on demand. Close can't: it always reaches the
// store.
const (
	Commit   Method = "Commit"
	CommitTx Method = "CommitTx"
	Grab     Method = "Grab"
	Beat     Method = "Beat"
	Reap     Method = "Reap"
	Find     Method = "Find"
	Purge    Method = "Purge"
)

// Call is one call of a [Faulty] store.
type Call struct {
	Method Method
	N      int // the n-th call of the method, from 1
	Total  int // the n-th call of any method, from 1
}

// Fault is how a call fails.
type Fault uint8

const (
	// None lets the call through.
	None Fault = iota
	// Before fails the call before it took effect, with
	// [store.ErrUnavailable].
	Before
	// After lets the call take effect and loses the answer: Commit fails with
	// [store.ErrUnknown], the others with [store.ErrUnavailable]. What the
	// store itself refuses fails with its own error.
	After
	// Lost is Before, but the error of Commit is [store.ErrUnknown], as when
	// the connection broke before the commit arrived.
	Lost
)

// Plan decides which calls fail. It is called once for each call, by one
// goroutine at a time, and must not call the store.
type Plan func(Call) Fault

// Nth fails the n-th call of a method, counted from 1, and no other.
func Nth(m Method, n int, f Fault) Plan {
	return func(c Call) Fault {
		if c.Method == m && c.N == n {
			return f
		}
		return None
	}
}

// NthOfAll fails the n-th call of whatever method, counted from 1, and no
// other: with n from 1 on, a test visits every point at which a store can
// fail.
func NthOfAll(n int, f Fault) Plan {
	return func(c Call) Fault {
		if c.Total == n {
			return f
		}
		return None
	}
}

// Always fails all calls of the methods, or of all methods if none is named.
func Always(f Fault, methods ...Method) Plan {
	wanted := map[Method]bool{}
	for _, m := range methods {
		wanted[m] = true
	}
	return func(c Call) Fault {
		if len(wanted) == 0 || wanted[c.Method] {
			return f
		}
		return None
	}
}

// Faulty is a store whose calls fail by plan. It hides what the store can do
// beyond [store.Store]; [NewFaultySQL] does not. It is safe for concurrent use
// if the store is.
type Faulty struct {
	inner store.Store

	mu    sync.Mutex
	plan  Plan
	total int
	calls map[Method]int
}

var _ store.Store = (*Faulty)(nil)

// NewFaulty returns a store that passes calls on to s, but those that plan
// fails. A nil plan fails none. Closing it closes s.
func NewFaulty(s store.Store, plan Plan) *Faulty {
	return &Faulty{inner: s, plan: plan, calls: map[Method]int{}}
}

// Plan replaces the plan for the calls to come; nil heals the store. The
// counts go on.
func (f *Faulty) Plan(p Plan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = p
}

// Calls returns how many calls of a method were made, failed or not.
func (f *Faulty) Calls(m Method) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[m]
}

// Total returns how many calls of all methods were made, failed or not.
func (f *Faulty) Total() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}

// Unwrap returns the store below.
func (f *Faulty) Unwrap() store.Store { return f.inner }

func (f *Faulty) next(m Method) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total++
	f.calls[m]++
	if f.plan == nil {
		return None
	}
	return f.plan(Call{Method: m, N: f.calls[m], Total: f.total})
}

// call makes one call by plan.
func (f *Faulty) call(m Method, do func() error) error {
	fault := f.next(m)
	if fault == Before || fault == Lost {
		return injected(m, fault)
	}
	if err := do(); err != nil || fault == None {
		return err
	}
	return injected(m, fault)
}

func injected(m Method, f Fault) error {
	if m == Commit && f != Before {
		return fmt.Errorf("injected fault: %s: %w", m, store.ErrUnknown)
	}
	return fmt.Errorf("injected fault: %s: %w", m, store.ErrUnavailable)
}

// answer is call for methods with an answer, which is lost with the error.
func answer[T any](f *Faulty, m Method, do func() (T, error)) (T, error) {
	var got, none T
	err := f.call(m, func() (err error) {
		got, err = do()
		return err
	})
	if err != nil {
		return none, err
	}
	return got, nil
}

// Commit implements [store.Store].
func (f *Faulty) Commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	return f.call(Commit, func() error { return f.inner.Commit(ctx, keys, decide) })
}

// Grab implements [store.Store].
func (f *Faulty) Grab(ctx context.Context, g store.Grab) (store.Grabbed, error) {
	return answer(f, Grab, func() (store.Grabbed, error) { return f.inner.Grab(ctx, g) })
}

// Beat implements [store.Store].
func (f *Faulty) Beat(ctx context.Context, b store.Beat) (store.Beaten, error) {
	return answer(f, Beat, func() (store.Beaten, error) { return f.inner.Beat(ctx, b) })
}

// Reap implements [store.Store].
func (f *Faulty) Reap(ctx context.Context, r store.Reap) (store.Reaped, error) {
	return answer(f, Reap, func() (store.Reaped, error) { return f.inner.Reap(ctx, r) })
}

// Find implements [store.Store].
func (f *Faulty) Find(ctx context.Context, q store.Query) (store.Found, error) {
	return answer(f, Find, func() (store.Found, error) { return f.inner.Find(ctx, q) })
}

// Purge implements [store.Store].
func (f *Faulty) Purge(ctx context.Context, p store.Purge) (int, error) {
	return answer(f, Purge, func() (int, error) { return f.inner.Purge(ctx, p) })
}

// Close implements [store.Store]. It never fails by plan.
func (f *Faulty) Close() error { return f.inner.Close() }

// FaultySQL is a [Faulty] store with SQL. DB and Migrate never fail by plan.
type FaultySQL struct {
	*Faulty
	sql store.SQL
}

var (
	_ store.SQL      = (*FaultySQL)(nil)
	_ store.Migrator = (*FaultySQL)(nil)
)

// NewFaultySQL is [NewFaulty] for a store with SQL.
func NewFaultySQL(s store.SQL, plan Plan) *FaultySQL {
	return &FaultySQL{Faulty: NewFaulty(s, plan), sql: s}
}

// DB implements [store.SQL].
func (f *FaultySQL) DB() *sql.DB { return f.sql.DB() }

// CommitTx implements [store.SQL]. All its faults are
// [store.ErrUnavailable]: what it did is up to the transaction.
func (f *FaultySQL) CommitTx(ctx context.Context, tx *sql.Tx, keys store.Keys, decide store.Decide) error {
	return f.call(CommitTx, func() error { return f.sql.CommitTx(ctx, tx, keys, decide) })
}

// Migrate implements [store.Migrator]. It returns [errors.ErrUnsupported] if
// the store below has no schema.
func (f *FaultySQL) Migrate(ctx context.Context) (from, to int, err error) {
	m, ok := f.sql.(store.Migrator)
	if !ok {
		return 0, 0, fmt.Errorf("migrate: %w", errors.ErrUnsupported)
	}
	return m.Migrate(ctx)
}
