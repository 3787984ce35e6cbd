package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// options are what the command line asks for.
type options struct {
	stores    []string
	transport string
	workloads []workload
	n         int // 0: each workload's own
	clients   int
	repeat    int
	json      bool
	dir       string
	limitFor  time.Duration

	cpuProfile, memProfile string
}

func parse(args []string, complaints io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	f.SetOutput(complaints)
	stores := f.String("store", "memory:,sqlite:", "`URLs` of stores, separated by commas; an sqlite: without a path is a new file")
	names := f.String("workload", "all", "`names` of workloads, separated by commas: "+names()+"; or all")
	f.StringVar(&o.transport, "transport", "", "`URL` of the broker; without one, messages travel through the store")
	f.IntVar(&o.n, "n", 0, "`count` of runs or jobs; 0: what suits each workload")
	f.IntVar(&o.clients, "clients", 16, "`count` of clients that start runs at once")
	f.IntVar(&o.repeat, "repeat", 1, "`times` that each workload is measured; the median by ratio is told")
	f.DurationVar(&o.limitFor, "limitfor", 400*time.Millisecond, "`time` that the store's limit is measured for, on each number of connections")
	f.BoolVar(&o.json, "json", false, "print a line of JSON for each workload")
	f.StringVar(&o.dir, "dir", "", "`folder` for new files; default: the system's for temporary ones")
	f.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile to `file`; its samples have the label workload")
	f.StringVar(&o.memProfile, "memprofile", "", "write a profile of all allocations to `file`")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.n < 0 || o.clients < 1 || o.repeat < 1 {
		return o, errors.New("-n must not be negative; -clients and -repeat must be at least 1")
	}
	o.stores = strings.Split(*stores, ",")
	var err error
	o.workloads, err = choose(*names)
	return o, err
}

// choose finds the workloads that a list names.
func choose(list string) ([]workload, error) {
	if list == "all" {
		return workloads, nil
	}
	var out []workload
	for _, name := range strings.Split(list, ",") {
		known := len(out)
		for _, w := range workloads {
			if w.name == name || strings.HasPrefix(w.name, name+"-") {
				out = append(out, w)
			}
		}
		if len(out) == known {
			return nil, fmt.Errorf("unknown workload %q; known are %s", name, names())
		}
	}
	return out, nil
}

func names() string {
	var all []string
	for _, w := range workloads {
		all = append(all, w.name)
	}
	return strings.Join(all, ", ")
}
