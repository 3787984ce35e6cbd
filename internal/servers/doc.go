// Package servers gives tests the real servers that they need: PostgreSQL,
// Redis and RabbitMQ, each with its own port and its own data below the folder
// for temporary files, so that a standard instance is not disturbed.
//
// There are two kinds. The shared ones are started once by "make services" and
// keep running: [Postgres], [Redis] and [AMQP] return their URLs. Tests share
// them, so each works in a schema, under a prefix, with names of its own. A
// test that kills or cuts off a server starts a private one, with
// [StartPostgres], [StartRedis] or [StartAMQP].
//
// It runs on Linux. Elsewhere compose.yaml offers the shared ones.
package servers
