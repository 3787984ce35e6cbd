// Package postgres keeps rows in a PostgreSQL database (13 or newer), shared by
// any number of processes on any number of machines. It speaks to the server by
// way of github.com/lib/pq.
//
// Importing it registers the schemes postgres and postgresql:
//
//	postgres://user:password@host:5432/database?sslmode=disable
//
// Settings follow as a query: those of lib/pq (sslmode, sslrootcert,
// application_name, search_path, ...), and those of [Config]:
//
//	postgres://host/db?search_path=orders&pool=12&statement_timeout=10s
//
// Tables, functions and sequences stand in the first schema of the search_path
// that exists; their names begin with millrace_, so an application may keep its
// own tables beside them. Two stores in one database have two schemas.
//
// # How it works
//
// A commit is decided on what the process knows: what it wrote last, under the
// ids of the transactions that wrote it (xmin). One statement has the server
// check all of that and write, so most commits are one round trip. Where it
// turns out that others have changed something, and where too little is known,
// a commit is four round trips: BEGIN, one call of a function that locks and
// reads, one that writes, COMMIT. Runs are locked in the order of their keys,
// then messages, then rows that belong to no run, so that commits of any number
// of processes wait for each other without deadlock; what was absent, and was
// made by another since, violates a unique index, and the commit is decided
// anew. Two commits of a process overlap, unless they are about the same runs.
//
// The server's clock rules leases and due times, and wakes nobody: a process
// that finds nothing to grab says so in a table, and who frees messages then
// notifies it, after his commit and once. The functions decide nothing; SQL
// stands in queries/, one statement a file, and in migrations/.
//
// A commit is as durable as the server's synchronous_commit says: with "on",
// which is PostgreSQL's default, it survives the loss of power; with "off" the
// newest may be undone by a crash of the server.
//
// A connection pooler in between must pool sessions, not transactions, and let
// run-time settings through.
package postgres
