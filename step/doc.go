// Package step is the functional core of millrace: what the outcomes of steps
// do to messages and runs.
//
// [Reads] names what a batch of outcomes needs from the store, and [Fold]
// turns what was read into what is to be written. Both are pure: no I/O, no
// clock but the snapshot's, no goroutine. A whole batch is folded at once,
// since two branches of one run may land in one commit and the second must
// see the first. When a fold meets a row that was not read, it asks for it
// and is called again: so Reads is only a good guess, and never a condition
// of being right.
//
// The files: decision (what a step can say), outcome (what can happen), reads
// (what is needed), fold (the way through), view (what was read and what will
// be written), send, event, fork, run, fail, lock, scope, dead, history, audit.
package step
