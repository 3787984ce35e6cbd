// Package storetest is the suite that every store passes, and what tests above
// the stores need: a clock that is set by hand, and a store that fails on
// demand. It is for tests only and imports no driver.
//
// A driver's test is one call:
//
//	func TestStore(t *testing.T) { storetest.Run(t, storetest.Factory{Open: open}) }
//
// Comments such as "M5" in the suite name the statement of SEMANTICS that a
// test proves as far as it is up to the store.
package storetest
