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
	pairs     []pair
	servers   serverURLs
	workloads []workload
	n         int // 0: each workload's own
	clients   int
	repeat    int
	dir       string
	limitFor  time.Duration
	handover  string
	kill      killing

	json      bool
	out, html string // files; "": none
	from      string // file to tell instead of measuring
	compare   []string
	tolerance float64

	cpuProfile, memProfile string
}

// asked are the options that parse has to work on.
type asked struct {
	matrix, compare, kill        bool
	stores, transports, workload string
}

func parse(args []string, complaints io.Writer) (options, error) {
	o := options{servers: sharedServers()}
	var a asked
	f := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	f.SetOutput(complaints)
	a.flags(f)
	o.flags(f)
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if a.compare {
		o.compare = f.Args()
		if len(o.compare) != 2 {
			return o, errors.New("-compare needs two files, such as -compare before.json after.json")
		}
		return o, nil
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.n < 0 || o.clients < 1 || o.repeat < 1 {
		return o, errors.New("-n must not be negative; -clients and -repeat must be at least 1")
	}
	return o, o.choose(a)
}

func (a *asked) flags(f *flag.FlagSet) {
	f.BoolVar(&a.matrix, "matrix", false, "measure all pairs of store and transport that make sense; -store and -transport narrow them")
	f.StringVar(&a.stores, "store", "", "`URLs` of stores, separated by commas; sqlite: is a new file, postgres: and redis: are those of make services (default memory:,sqlite:)")
	f.StringVar(&a.transports, "transport", "", "`URLs` of brokers, separated by commas: amqp:, redis:, watermill-sql:, memory:; native: through the store (default native)")
	f.StringVar(&a.workload, "workload", "", "`names` of workloads, separated by commas: "+names(workloads)+"; or all (default all; with -matrix "+matrixWorkloads+"; with -kill those that can)")
	f.BoolVar(&a.kill, "kill", false, "kill worker processes and restart brokers while measuring, on servers of the benchmark's own")
	f.BoolVar(&a.compare, "compare", false, "compare the ratios of two files that -out or -json wrote: -compare before.json after.json")
}

func (o *options) flags(f *flag.FlagSet) {
	f.IntVar(&o.n, "n", 0, "`count` of runs, jobs or messages; 0: what suits each workload")
	f.IntVar(&o.clients, "clients", 16, "`count` of clients that start runs at once")
	f.IntVar(&o.repeat, "repeat", 1, "`times` that each workload is measured; the median by ratio is told")
	f.DurationVar(&o.limitFor, "limitfor", 400*time.Millisecond, "`time` that the store's limit is measured for, on each number of connections")
	f.DurationVar(&o.kill.every, "killevery", time.Second, "`time` between two kills of -kill; each third also restarts the broker")
	f.DurationVar(&o.kill.lease, "lease", 10*time.Second, "`time` that a worker process of -kill and of two keeps its messages without a heartbeat")
	f.StringVar(&o.handover, "handover", "", "`way` of messages that could run where they come from, with a broker: broker or local (default broker)")
	f.BoolVar(&o.json, "json", false, "print a line of JSON for each workload")
	f.StringVar(&o.out, "out", "", "write the lines of JSON to `file`")
	f.StringVar(&o.html, "html", "", "write a report with charts to `file`")
	f.StringVar(&o.from, "from", "", "measure nothing, and tell what is in a `file` that -out or -json wrote")
	f.Float64Var(&o.tolerance, "tolerance", 0.1, "`part` of a ratio that may be lost in -compare")
	f.StringVar(&o.dir, "dir", "", "`folder` for new files; default: the system's for temporary ones")
	f.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile to `file`; its samples have the label workload")
	f.StringVar(&o.memProfile, "memprofile", "", "write a profile of all allocations to `file`")
}

// choose finds what is to be measured, and where.
func (o *options) choose(a asked) (err error) {
	stores, transports := list(a.stores), list(a.transports)
	known := workloads
	switch {
	case a.kill:
		known, o.kill.on = killable(), true
	case a.matrix && a.workload == "":
		a.workload = matrixWorkloads
	}
	if o.workloads, err = choose(known, a.workload); err != nil {
		return err
	}
	if a.matrix {
		o.pairs = within(matrix, stores, transports)
		return checkMatrix(o.pairs)
	}
	if stores == nil {
		stores = []string{"memory:", "sqlite:"}
	}
	if transports == nil {
		transports = []string{native}
	}
	o.pairs = product(stores, transports)
	return nil
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// choose finds the workloads that a list names.
func choose(known []workload, list string) ([]workload, error) {
	if list == "all" || list == "" {
		return known, nil
	}
	var out []workload
	for _, name := range strings.Split(list, ",") {
		before := len(out)
		for _, w := range known {
			if w.name == name || strings.HasPrefix(w.name, name+"-") {
				out = append(out, w)
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("unknown workload %q; known are %s", name, names(known))
		}
	}
	return out, nil
}

func names(list []workload) string {
	var all []string
	for _, w := range list {
		all = append(all, w.name)
	}
	return strings.Join(all, ", ")
}
