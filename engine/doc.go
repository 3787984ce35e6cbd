// Package engine is the imperative shell around the functional core: it
// carries outcomes to the store and messages to handlers.
//
// Many handlers run at once; whoever finishes first commits for all that are
// ready (commit.go). Children that this process can run are born held and
// handed over in memory (queue.go); everything else is grabbed from the store
// when something says that it is there (grab.go). A heartbeat keeps the worker
// alive, and workers that died are closed (heart.go). What the store says that
// this worker holds is compared with what is in memory after every answer
// that was lost (reconcile.go).
//
// A handler's life: [Engine.Next] hands out a held message, [Engine.Begin]
// opens its unit of work, [Engine.End] commits its outcome.
package engine
