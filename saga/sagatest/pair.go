package sagatest

import "testing"

// Pair is a store and a transport that the suite runs on.
type Pair struct {
	// Store is the name of the store, such as "sqlite".
	Store string

	// Place makes a place for one test: an empty database, and empty topics.
	// What it makes goes with the test.
	Place func(t testing.TB) Place

	Brokered bool // messages travel through a broker

	// Param is how the store's SQL spells the first parameter of a statement,
	// such as "$1" (L5); "": it has no SQL.
	Param string
}

// Place is where one test has its rows and messages.
type Place struct {
	Store     string // URL; each handle that is opened by it is on the same database
	Transport string // URL; "": messages travel through the store

	// Note is told which topics the test uses in the broker. It may be nil.
	Note func(topics ...string)

	// Wipe deletes what the broker has of topics, queues and all, as when it
	// has lost its disk (M11). It may be nil without a broker.
	Wipe func(topics ...string)
}

// group are checks of one kind.
type group struct {
	name  string
	tests []check
	alone bool // they measure the process: nothing runs beside them
}

// check is one thing that must hold.
type check struct {
	name string
	run  func(*fixture)
}

func groupsOf(p Pair) []group {
	groups := []group{
		{name: "Limit", tests: limitChecks, alone: true},
		{name: "Message", tests: messageChecks},
		{name: "Opaque", tests: opaqueChecks},
		{name: "Lease", tests: leaseChecks},
		{name: "Fork", tests: forkChecks},
		{name: "Join", tests: joinChecks},
		{name: "Scope", tests: scopeChecks},
		{name: "Time", tests: timeChecks},
		{name: "Retry", tests: retryChecks},
		{name: "Dead", tests: deadChecks},
		{name: "Outage", tests: outageChecks},
		{name: "Compensation", tests: compensationChecks},
		{name: "Stateful", tests: statefulChecks},
		{name: "End", tests: endChecks},
		{name: "History", tests: historyChecks},
		{name: "Living", tests: livingChecks},
		{name: "Plain", tests: plainChecks},
	}
	if p.Param != "" {
		groups = append(groups, group{name: "SQL", tests: sqlChecks})
	}
	if p.Brokered {
		groups = append(groups, group{name: "Broker", tests: brokerChecks})
	}
	return groups
}

// Run runs the suite: one subtest for each thing that must hold, each in a
// place of its own, many at a time. Each ends with the conservation check (M9).
func Run(t *testing.T, p Pair) {
	for _, g := range groupsOf(p) {
		t.Run(g.name, func(t *testing.T) {
			if !g.alone {
				t.Parallel()
			}
			for _, c := range g.tests {
				t.Run(c.name, func(t *testing.T) {
					if !g.alone {
						t.Parallel()
					}
					c.run(newFixture(t, p))
				})
			}
		})
	}
}
