// Package cli is what the examples have in common as programs: flags, errors
// in one line, where files go, and a line of progress.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Program is what an example does: answers go to out, and what is only told
// while it runs goes to notes. Its context ends when the user interrupts it.
type Program func(ctx context.Context, args []string, out, notes io.Writer) error

// Main runs a program and ends the process: with status 0, or with 1 and the
// error in one line. Interrupted a second time, it ends at once.
func Main(name string, p Program) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(Run(ctx, name, p, os.Args[1:], os.Stdout, os.Stderr))
}

// Run runs a program and returns its exit status.
func Run(ctx context.Context, name string, p Program, args []string, out, notes io.Writer) int {
	err := p(ctx, args, out, notes)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintf(notes, "%s: interrupted; start it again to go on\n", name)
		return 1
	}
	fmt.Fprintf(notes, "%s: %s\n", name, strings.Join(strings.Fields(err.Error()), " "))
	return 1
}
