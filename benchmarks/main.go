package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	_ "github.com/millrace-go/millrace/store/memory"
	_ "github.com/millrace-go/millrace/store/sqlite"
	_ "github.com/millrace-go/millrace/transports/memory"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

// run measures what the arguments ask for and prints a line for each.
func run(ctx context.Context, args []string, out, complaints io.Writer) error {
	o, err := parse(args, complaints)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "millrace-benchmarks-")
	if err != nil {
		return err
	}
	defer remove(dir)
	p, err := startProfiles(o.cpuProfile, o.memProfile)
	if err != nil {
		return err
	}
	err = measureAll(ctx, o, dir, o.printer(out))
	return errors.Join(err, p.stop())
}

// measureAll runs the workloads on each store, and prints as it goes. What is
// lost or done twice is an error, after all was measured.
func measureAll(ctx context.Context, o options, dir string, print printer) error {
	var faults []error
	for _, w := range o.workloads {
		for _, s := range w.on(o.stores) {
			b := &bench{dir: dir, store: s, transport: o.transport, n: o.n, clients: o.clients, limitFor: o.limitFor}
			if b.n == 0 {
				b.n = w.n
			}
			l, err := median(ctx, w, b, o.repeat)
			if err != nil {
				return fmt.Errorf("%s on %s: %w", w.name, s, err)
			}
			print.line(l)
			if l.Duplicates+l.Losses > 0 {
				faults = append(faults, fmt.Errorf("%s on %s: %d duplicates, %d losses", w.name, s, l.Duplicates, l.Losses))
			}
		}
	}
	print.end()
	return errors.Join(faults...)
}
