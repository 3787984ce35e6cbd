// Package faults breaks what millrace stands on while it works: servers are
// killed, networks cut, queues deleted, disks full. It verifies that each run
// that was started ends as planned, that nothing has happened twice, and that
// the store is sound. It holds tests only.
//
// Each test has runs on all pairs of a store and a broker that the fault
// concerns, at the same time. They need the servers of package servers; what
// is broken is a server of the test's own, or a connection to a shared one.
package faults
