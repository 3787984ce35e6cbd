// Package relay carries messages between the store and a broker.
//
// The store is the truth, and the broker tells who is to look there. A commit
// that brings forth messages to tasks stores them as published; then their
// envelopes go to the broker (publish.go). Whoever gets an envelope claims its
// messages in the store, and acknowledges it once it has them (intake.go): from
// then on the store answers for them. A message whose envelope is lost is due
// again after a while, and is then grabbed and run like any other, or published
// again where nobody runs its topic (away.go). So the broker may lose and repeat
// what it likes, and as much as it can take is given to it, and no more
// (window.go): the rest waits in the store.
//
// A service may work on a store of its own. It gets whole envelopes, takes them
// in as messages that belong elsewhere, and its outcomes come home through the
// broker, where they take effect (home.go). What holds there:
//
//   - A step that went to such a service counts as begun, although nobody at
//     home can know. Should its run end, its outcome is awaited, and its undos
//     count; its timer can't be cancelled or moved any more.
//   - Attempts, policies and exclusive keys are those of the store that carries
//     the step out; what fails for good is a dead letter at home.
//   - A fork of more than 500 children can't be decided there: it is refused,
//     and its message is a dead letter. Let a task at home decide it.
//   - A task that pages through the results of a fork, or reads an event's data
//     by reference, must be one of the run's own store.
//
// A foreign message over a limit, to a task or to a plain handler, is parked:
// published as it was to the topic "<topic>.parked", with the reason in its
// metadata, and acknowledged. Publishing it to its topic again, once the limit
// is raised, takes it up.
package relay
