// Package router composes everything: it opens the store and the transport
// that a [Config] names, builds a Watermill Router whose middlewares make its
// handlers durable, runs it, supervises it, and drains it.
package router
