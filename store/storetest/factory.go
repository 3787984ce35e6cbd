package storetest

import (
	"testing"

	"github.com/millrace-go/millrace/store"
)

// Factory makes the stores that a suite tests. Only Open is needed; what else
// is nil is not tested. The functions fail t instead of returning an error.
// They are called from the test's own goroutine.
type Factory struct {
	// Open returns a store with an empty database of its own. It is closed
	// when t ends, by the suite; what lies below it, Open removes with
	// t.Cleanup.
	Open func(t testing.TB, o store.Options) store.Store

	// Share opens another handle on the database of s, as another process
	// would. Nil when a database has one handle only.
	Share func(t testing.TB, s store.Store, o store.Options) store.Store

	// Reopen closes s and opens its database again. Nil when data does not
	// survive that.
	Reopen func(t testing.TB, s store.Store, o store.Options) store.Store

	// DamageMessage and DamageRun overwrite the body of a stored message or
	// run with bytes that don't decode.
	DamageMessage func(t testing.TB, s store.Store, seq int64)
	DamageRun     func(t testing.TB, s store.Store, key int64)

	// Check verifies conservation (M9) over a whole store. The suite of this
	// package does not call it, since it writes rows that mean nothing; suites
	// that drive the core do, through [Factory.Verify].
	Check func(t testing.TB, s store.Store)
}

// Verify calls f.Check, if there is one.
func (f Factory) Verify(t testing.TB, s store.Store) {
	t.Helper()
	if f.Check != nil {
		f.Check(t, s)
	}
}

// Run runs the suite: one subtest for each thing that must hold, each on a
// store of its own. Stores that are a [store.SQL], a [store.Migrator] or a
// [store.Waker] are tested as such.
func Run(t *testing.T, f Factory) {
	groups := []struct {
		name  string
		tests []check
	}{
		{"Commit", commitChecks},
		{"Numbers", numberChecks},
		{"Read", readChecks},
		{"Opaque", opaqueChecks},
		{"Grab", grabChecks},
		{"Due", dueChecks},
		{"Worker", workerChecks},
		{"Reap", reapChecks},
		{"FindMessages", findMessageChecks},
		{"FindRuns", findRunChecks},
		{"FindRows", findRowChecks},
		{"Purge", purgeChecks},
		{"Concurrent", concurrentChecks},
		{"Close", closeChecks},
		{"Optional", optionalChecks},
		{"Model", modelChecks},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.tests {
				t.Run(c.name, func(t *testing.T) { c.run(newFixture(t, f)) })
			}
		})
	}
}

// check is one thing that must hold.
type check struct {
	name string
	run  func(*fixture)
}
