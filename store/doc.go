// Package store defines the rows that millrace keeps and the seam to the
// databases that keep them.
//
// A [Store] knows four things: messages, runs, rows and workers. It decides
// nothing: the functional core (package step) reads a [Snapshot] and answers
// with [Changes], and the store applies these all or nothing. So the rules of
// joins, retries and run ends stand in one place, whatever the database.
//
// Drivers live in the folders below: memory and sqlite. Each passes the suite
// in storetest. A program links the drivers that it imports, as with
// database/sql:
//
//	import _ "github.com/millrace-go/millrace/store/sqlite"
//
//	s, err := store.Open(ctx, "sqlite:///var/lib/app/app.db", store.Options{})
package store
