package store

import "time"

// Worker is one process, from its start to its end. What it holds hangs on
// its row: without the row it holds nothing.
type Worker struct {
	Key     int64
	Host    string
	Boot    string // id of the boot of the host's kernel
	PidNS   string // pid namespace; two containers differ here
	PID     int
	Born    string  // start of the process, so that a reused pid is told apart
	Started Instant // by the store's clock
	Until   Instant // alive until, by the store's clock
}

// Beat is a heartbeat: it keeps Worker alive for Lease from now.
type Beat struct {
	Worker Worker // Key 0 registers a new worker
	Lease  time.Duration
}

// Beaten is the answer to a [Beat].
type Beaten struct {
	Key   int64   // of the worker
	Now   Instant // the store's clock
	Until Instant
	Store string // random name that the store was given when it was made
}
