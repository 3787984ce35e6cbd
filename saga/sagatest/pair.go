package sagatest

import "testing"

// Pair is a store and a transport that the suite runs on.
type Pair struct {
	Store string // name of the store, such as "sqlite"

	// URL returns the URL of a database in an empty folder of its own. Each
	// handle that is opened by it is on the same database.
	URL func(dir string) string

	// Transport returns the URL of a broker with empty topics, for the test
	// whose folder it is given; nil: the native transport.
	Transport func(dir string) string

	SQL bool // the store has SQL (L5)
}

// Run runs the suite: one subtest for each thing that must hold, each on a
// database of its own. Each ends with the conservation check (M9).
func Run(t *testing.T, p Pair) {
	groups := []struct {
		name  string
		tests []check
	}{
		{"Message", messageChecks},
		{"Opaque", opaqueChecks},
		{"Lease", leaseChecks},
		{"Fork", forkChecks},
		{"Join", joinChecks},
		{"Scope", scopeChecks},
		{"Time", timeChecks},
		{"Retry", retryChecks},
		{"Dead", deadChecks},
		{"Outage", outageChecks},
		{"Compensation", compensationChecks},
		{"Stateful", statefulChecks},
		{"End", endChecks},
		{"History", historyChecks},
		{"Living", livingChecks},
		{"Plain", plainChecks},
		{"Limit", limitChecks},
	}
	if p.SQL {
		groups = append(groups, struct {
			name  string
			tests []check
		}{"SQL", sqlChecks})
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.tests {
				t.Run(c.name, func(t *testing.T) { c.run(newFixture(t, p)) })
			}
		})
	}
}

// check is one thing that must hold.
type check struct {
	name string
	run  func(*fixture)
}
