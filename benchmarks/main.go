package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	_ "github.com/millrace-go/millrace/store/memory"
	_ "github.com/millrace-go/millrace/store/postgres"
	_ "github.com/millrace-go/millrace/store/redis"
	_ "github.com/millrace-go/millrace/store/sqlite"
	_ "github.com/millrace-go/millrace/transports/amqp"
	_ "github.com/millrace-go/millrace/transports/memory"
	_ "github.com/millrace-go/millrace/transports/redisstream"
	_ "github.com/millrace-go/millrace/transports/watermillsql"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	slog.SetLogLoggerLevel(slog.LevelWarn)
	err := command(ctx)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

// command is the whole program: a worker process of another one, if that one
// says so, or what the arguments ask for.
func command(ctx context.Context) error {
	if job := os.Getenv(workerEnv); job != "" {
		return work(ctx, job, os.Stdin, os.Stdout)
	}
	return run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// run does what the arguments ask for.
func run(ctx context.Context, args []string, out, complaints io.Writer) error {
	o, err := parse(args, complaints)
	switch {
	case err != nil:
		return err
	case o.compare != nil:
		return compareFiles(out, o.compare[0], o.compare[1], o.tolerance)
	case o.from != "":
		return o.retell(out)
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
	all, err := o.measureAll(ctx, dir, o.printer(out))
	return errors.Join(err, p.stop(), o.write(all))
}

// retell prints and writes what was measured before.
func (o options) retell(out io.Writer) error {
	all, err := readLines(o.from)
	if err != nil {
		return err
	}
	print := o.printer(out)
	for _, l := range all {
		print.line(l)
	}
	return o.write(all)
}

// write writes the files that were asked for.
func (o options) write(all []line) error {
	var errs []error
	if o.out != "" {
		errs = append(errs, writeLines(o.out, all))
	}
	if o.html != "" {
		errs = append(errs, writeReport(o.html, all))
	}
	return errors.Join(errs...)
}

// measureAll runs the workloads on each pair, and prints as it goes. What is
// lost or done twice is an error, and so is a pair that can't be measured,
// after all others were.
func (o options) measureAll(ctx context.Context, dir string, print printer) (all []line, err error) {
	var faults []error
	if o.kill.on {
		if o.kill.own, err = startServers(o.pairs); err != nil {
			return nil, err
		}
		o.servers = o.kill.own.urls()
		defer func() { err = errors.Join(err, o.kill.own.stop()) }()
	}
	for _, w := range o.workloads {
		for _, p := range w.on(o.pairs) {
			if ctx.Err() != nil {
				return all, errors.Join(append(faults, ctx.Err())...)
			}
			l, err := o.measure(ctx, w, p, dir)
			if err != nil {
				err = fmt.Errorf("%s on %s: %w", w.name, p.labelled(), err)
				l.Error = err.Error()
			}
			if l.Duplicates+l.Losses > 0 {
				err = fmt.Errorf("%s on %s: %d duplicates, %d losses", w.name, p.labelled(), l.Duplicates, l.Losses)
			}
			faults = append(faults, err)
			all = append(all, l)
			print.line(l)
		}
	}
	return all, errors.Join(faults...)
}

// measure measures a workload on a pair.
func (o options) measure(ctx context.Context, w workload, p pair, dir string) (line, error) {
	n := o.n
	if n == 0 {
		n = w.n
	}
	b, err := o.bench(dir, p, n)
	if err != nil {
		return line{}, err
	}
	l, err := median(ctx, w, b, o.repeat)
	w.tell(&l, b)
	return l, err
}
