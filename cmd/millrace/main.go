// Command millrace looks after a store: it migrates and examines it, lists and
// cancels runs, and lists, sends again and discards dead letters. It runs no
// handlers; a store may be in use meanwhile.
//
// The store is the one that --store names, or MILLRACE_STORE, or the config
// file, or sqlite:millrace.db. What it prints is for people; with --json it is
// for programs: one JSON document, or for lists one in each line. An error is
// one line on stderr, and exit code 1.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// commands is the grammar of the command line.
type commands struct {
	Store  string `help:"URL of the store. Default: MILLRACE_STORE, or the config file's, or ${store}." placeholder:"URL"`
	Config string `help:"YAML file with settings." placeholder:"FILE"`
	JSON   bool   `name:"json" help:"Print for programs: one JSON document, or for lists one in each line."`

	Migrate migrate `cmd:"" help:"Bring the store's schema to the newest version."`
	Doctor  examine `cmd:"" help:"Examine the store: is every message accounted for, does every history verify?"`
	Runs    runs    `cmd:"" help:"List, show and cancel runs."`
	Dead    dead    `cmd:"" help:"List and show dead letters, send them again, give them up."`
	Version version `cmd:"" help:"Print the version of this program."`
}

type runs struct {
	List   listRuns  `cmd:"" help:"List runs, in the order of their starts."`
	Show   showRun   `cmd:"" help:"Show a run: how it stands, what it waits for, what happened."`
	Cancel cancelRun `cmd:"" help:"Cancel a run: what was not begun is dropped, and its undos run."`
}

type dead struct {
	List    listDead    `cmd:"" help:"List dead letters, oldest first."`
	Show    showDead    `cmd:"" help:"Show a dead letter: payload, attempts, edits."`
	Requeue requeueDead `cmd:"" help:"Send dead letters again."`
	Discard discardDead `cmd:"" help:"Give dead letters up; their runs go on without them."`
}

// exit is what ends a command early, as --help does. It travels as a panic.
type exit int

// run carries out a command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exit:
			code = int(r)
		default:
			panic(r)
		}
	}()
	var flags commands
	parser, err := kong.New(&flags,
		kong.Name("millrace"),
		kong.Description("Looks after a store of millrace. It runs no handlers."),
		kong.Vars{"store": defaultStore},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		panic(err) // the grammar is wrong
	}
	line, err := parser.Parse(args)
	if err == nil {
		s := &session{ctx: ctx, flags: &flags, out: stdout, log: stderr}
		err = line.Run(s)
	}
	if err != nil {
		fmt.Fprintln(stderr, "millrace: "+strings.ReplaceAll(err.Error(), "\n", "; "))
		return 1
	}
	return 0
}
