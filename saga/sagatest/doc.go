// Package sagatest is the suite that every pair of a store and a transport
// passes: what docs/semantics.md says, shown through the public API by real
// handlers. A test of a pair calls [Run].
package sagatest
