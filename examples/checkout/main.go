// Command checkout takes orders: each is packed and billed at the same time,
// and shipped when both are done. A card that is declined, or a payment that
// does not come in time, undoes what was done. Killed at any time and started
// again, it goes on. In the end it checks that each order ended in exactly one
// way.
//
//	go run ./examples/checkout [flags]
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace-go/millrace/examples/internal/cli"
	"github.com/millrace-go/millrace/router"
)

func main() { cli.Main("checkout", program) }

const about = `Takes orders: each is packed and billed, and then shipped, or undone when its
card is declined or its payment does not come in time. Killed at any time and
started again, it goes on. In the end it checks that each order ended in exactly
one way.`

// options are what the flags say.
type options struct {
	orders    int
	customers int
	deadline  time.Duration
	bank      bank
}

func program(ctx context.Context, args []string, out, notes io.Writer) (err error) {
	flags := cli.NewFlags("checkout [flags]", about, "checkout-data")
	var o options
	flags.IntVar(&o.orders, "n", 1000, "how `many` orders")
	flags.IntVar(&o.customers, "customers", 200, "how `many` of them are under way at a time")
	flags.DurationVar(&o.deadline, "deadline", 3*time.Second, "`time` that an order has to be packed and paid")
	flags.Float64Var(&o.bank.decline, "decline", 0.1, "`share` of the orders whose card is declined, 0 to 1")
	flags.Float64Var(&o.bank.silent, "silent", 0.05, "`share` of the orders that are never paid, 0 to 1")
	if err := flags.Read(args, out); err != nil {
		return err
	}
	if err := o.check(flags.Args()); err != nil {
		return err
	}
	cfg, err := flags.Config(notes)
	if err != nil {
		return err
	}
	batch, err := batchName(filepath.Join(flags.Dir, "batch"), flags.Fresh)
	if err != nil {
		return err
	}
	ledger, err := OpenLedger(filepath.Join(flags.Dir, "ledger.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	return o.run(ctx, cfg, ledger, batch, out, notes)
}

func (o *options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected %q; -h lists the flags", rest[0])
	case o.orders < 0 || o.customers < 1:
		return errors.New("-n and -customers must be positive")
	case o.deadline <= 0:
		return errors.New("-deadline must be positive")
	case o.bank.decline < 0 || o.bank.silent < 0 || o.bank.decline+o.bank.silent > 1:
		return errors.New("-decline and -silent must be shares between 0 and 1, and at most 1 together")
	}
	return nil
}

// batchName returns the name that the ids of the orders begin with. It stands
// in a file, so that the next start goes on with the same orders.
func batchName(file string, fresh bool) (string, error) {
	name, err := os.ReadFile(file)
	if err == nil && !fresh {
		return strings.TrimSpace(string(name)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	made := strings.ToLower(rand.Text()[:8])
	return made, os.WriteFile(file, []byte(made+"\n"), 0o644)
}

func (o *options) run(ctx context.Context, cfg router.Config, ledger *Ledger, batch string, out, notes io.Writer) (err error) {
	r, err := router.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	shop := &shop{ledger: ledger, bank: o.bank}
	shop.bind(r)
	orders := make([]string, o.orders)
	for i := range orders {
		orders[i] = fmt.Sprintf("%s-%06d", batch, i+1)
	}
	var ended Summary
	err = r.RunWhile(ctx, func(ctx context.Context) error {
		defer progress(ledger, batch, len(orders), notes)()
		ends, err := o.serve(ctx, r, orders)
		ended = sum(ends)
		return err
	})
	if err != nil {
		return err
	}
	if err := ended.Print(out); err != nil {
		return err
	}
	return check(ledger, ended, orders)
}

func progress(l *Ledger, batch string, orders int, notes io.Writer) (stop func()) {
	return cli.Progress(notes, func() string {
		n, err := l.Sums(batch + "-")
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d orders: %d packed, %d charged; %d shipped, %d compensated, %d expired",
			orders, n["packed"], n["charged"], n[shipped], n[compensated], n[expired])
	})
}
