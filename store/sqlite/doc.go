// Package sqlite keeps rows in one SQLite file: durable, with nothing to
// install. It is the store for one machine; any number of processes on it may
// share the file.
//
// Importing it registers the scheme sqlite:
//
//	sqlite:///var/lib/app/app.db    an absolute path
//	sqlite:app.db, sqlite://app.db  a path relative to the working directory
//
// Settings follow as a query; see [Config] for what they mean:
//
//	sqlite:app.db?synchronous=normal&busy_timeout=10s&cache=128&checkpoint=4000
//
// # How it works
//
// SQLite has one writer at a time. A Store has one connection that writes, and
// calls that write take turns on it, in the order in which they came: [Store.Commit]
// holds the writer while it reads, decides and writes. Reading ([Store.Find])
// has connections of its own and blocks nobody.
//
// Transactions of the application ([Store.DB]) take their turn in the same
// line, so a worker's heartbeat waits for one as long as it lasts, not longer.
// Other processes are kept out by SQLite's own lock, for which a call asks
// again every few milliseconds until [Config].BusyTimeout has passed.
//
// The file is in write-ahead logging mode: beside it stand files with the
// suffixes -wal and -shm, which belong to it. It must be on a local disk.
//
// Table names begin with millrace_, so an application may keep its own tables
// in the file. SQL stands in queries/, one statement a file, and in
// migrations/.
package sqlite
