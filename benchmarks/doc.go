// Benchmarks measures what millrace reaches on each pair of store and broker,
// and says duplicates and losses beside it.
//
//	go run ./benchmarks                                      all workloads, in memory and on an SQLite file
//	go run ./benchmarks -workload chain3,hop -store sqlite:  two of them, on a new SQLite file
//	go run ./benchmarks -matrix -repeat 3 -out after.json -html report.html
//	go run ./benchmarks -compare before.json after.json
//	go run ./benchmarks -matrix -kill                        while processes are killed and brokers restarted
//
// README.md beside it tells what is measured, and how to read it.
//
// Files are rooms: pair.go and place.go say where is measured, workload.go
// what, with a file for each workload; limit*.go and plain*.go what it is held
// against; kill.go, fleet.go and worker.go are processes that are killed;
// line.go, report.go, chart.go and compare.go tell it.
package main
