// Services starts and stops the servers that the tests share:
//
//	go run ./internal/servers/services up | down | check
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"

	"github.com/millrace-go/millrace/internal/servers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "services:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("say one of: up, down, check")
	}
	all, err := servers.Open(servers.Folder())
	if err != nil {
		return err
	}
	switch args[0] {
	case "up":
		return up(ctx, all)
	case "down":
		return all.Down(ctx)
	case "check":
		return all.Check(ctx)
	}
	return fmt.Errorf("%q is none of: up, down, check", args[0])
}

func up(ctx context.Context, all *servers.Services) error {
	states, err := all.Up(ctx)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, s := range states {
		what := "runs"
		if s.Started {
			what = "started"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, what, s.URL)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return err
}
