// Benchmarks measures what millrace reaches on a store and a transport, and
// says duplicates and losses beside it.
//
//	go run ./benchmarks                                     all workloads, in memory and on an SQLite file
//	go run ./benchmarks -workload chain3,hop -store sqlite: two of them, on a new SQLite file
//	go run ./benchmarks -json -repeat 5                     a line of JSON each, the median of 5
//
// A file without a path, sqlite: or sqlite:?synchronous=normal, is a new one
// in a temporary folder for each measurement.
//
// Machines differ, and so do their hours: compare ratio, not throughput. It is
// steps_per_s over limit_per_s, which is measured right before: what the
// store's driver does at most of minimal transitions (a row of 200 bytes
// inserted, one updated, one deleted; 100 to a transaction). In memory there
// is nothing to wait for; there the limit is the same chain of handlers on a
// plain Watermill Router over GoChannel.
//
// Duplicates and losses come from the handlers' own records: they count, for
// each run and each of its steps, how often they were entered. A run that the
// store does not show as finished in the end is a loss too.
package main
