// Package watermillsql carries messages through tables of watermill-sql in the
// database of the Postgres store, so that commits of the store publish in their
// own transaction.
//
// Tables are those of watermill-sql (names, columns, statements of its schema
// adapter, payloads as BYTEA), whose services can read and write the same
// topics. Its subscriber works off one message at a time for a whole group,
// within a transaction that blocks others' view of the tables; so the
// subscriber is our own:
//
//   - it takes messages by a lease, in a short transaction, so that any number
//     of processes work at once and handlers hold no lock;
//   - it sees what is committed, whatever else is running in the server;
//   - an acknowledged message is deleted, so that a table is as long as its
//     backlog; a message of a topic that only plain services read stays, as it
//     would with theirs;
//   - what a process that died had comes to others after Config.Lease;
//   - who publishes notifies those that sleep, and nobody else.
package watermillsql
