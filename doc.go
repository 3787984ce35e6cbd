// Package millrace is the root of a framework for durable, message-driven
// workflows on Watermill. It holds no code; this is the tour.
//
// # To use it
//
//   - [github.com/millrace-go/millrace/saga]: tasks, events, steps. What an
//     author of workflows writes against.
//   - [github.com/millrace-go/millrace/router]: opens the store and the
//     transport that a Config names, and runs the handlers.
//   - [github.com/millrace-go/millrace/middleware]: the same guarantees for
//     plain Watermill handlers.
//   - [github.com/millrace-go/millrace/store/sqlite] and
//     [github.com/millrace-go/millrace/store/memory]: stores, linked by
//     importing them.
//
// The folder examples holds three programs to begin with: hello, checkout and
// indexer. The command cmd/millrace looks after a store.
//
// # To understand it
//
// Read from the inside out:
//
//   - [github.com/millrace-go/millrace/store]: the rows, and the seam to
//     databases.
//   - [github.com/millrace-go/millrace/joins]: when branches come together.
//   - [github.com/millrace-go/millrace/step]: the core. What the outcomes of
//     steps do to runs, as a pure function over a batch.
//   - [github.com/millrace-go/millrace/engine]: carries outcomes to the store
//     and messages to handlers.
//   - [github.com/millrace-go/millrace/transports]: the seam to brokers;
//     package native below it is the store itself.
//   - [github.com/millrace-go/millrace/envelope]: rows as Watermill messages.
//
// ARCHITECTURE.md follows one message through all of them, docs/semantics.md
// says in numbered statements how they behave.
package millrace
