// Command indexer indexes the Go source tree of the installation, or any
// folder: one task for each package, hundreds of them at once, and a report
// when the last one is done. Killed at any time and started again, it goes on,
// and the report is the same.
//
//	go run ./examples/indexer [flags] [folder]
//	go run ./examples/indexer -search Name [folder]
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/millrace-go/millrace/examples/internal/cli"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
)

func main() { cli.Main("indexer", program) }

const about = `Indexes a folder of Go packages, and prints a report. Without a folder it is the
source tree of the Go installation. Killed at any time and started again, it
goes on; when all is indexed, it prints the same report again.`

func program(ctx context.Context, args []string, out, notes io.Writer) (err error) {
	flags := cli.NewFlags("indexer [flags] [folder]", about, "indexer-data")
	search := flags.String("search", "", "list where an exported `name` is declared, such as Reader or Buffer.Write")
	top := flags.Int("top", 10, "how many of the most used names to report")
	if err := flags.Read(args, out); err != nil {
		return err
	}
	folder, err := folderOf(ctx, flags.Args())
	if err != nil {
		return err
	}
	cfg, err := flags.Config(notes)
	if err != nil {
		return err
	}
	index, err := OpenIndex(ctx, filepath.Join(flags.Dir, "index.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, index.Close()) }()
	if *search != "" {
		return find(ctx, index, folder, *search, out)
	}
	x := &indexer{index, *top}
	report, err := x.run(ctx, cfg, folder, flags.Fresh, notes)
	if err != nil {
		return err
	}
	return report.Print(out)
}

// folderOf returns the folder that the arguments name, as an absolute path.
func folderOf(ctx context.Context, args []string) (string, error) {
	switch len(args) {
	case 0:
		root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return "", fmt.Errorf("go env GOROOT: %w; name a folder instead", err)
		}
		args = []string{filepath.Join(strings.TrimSpace(string(root)), "src")}
	case 1:
	default:
		return "", fmt.Errorf("one folder, please, not %d, after the flags", len(args))
	}
	folder, err := filepath.Abs(args[0])
	if err != nil {
		return "", err
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return "", err
	}
	info, err := os.Stat(folder)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", folder)
	}
	return folder, err
}

// run indexes a folder, or goes on with it, and returns the report.
func (x *indexer) run(ctx context.Context, cfg router.Config, folder string, fresh bool, notes io.Writer) (report *Report, err error) {
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 2 * runtime.GOMAXPROCS(0) // parsing takes a CPU and memory
	}
	r, err := router.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	x.bind(r)
	if fresh {
		if err := x.forget(ctx, r, folder); err != nil {
			return nil, err
		}
	}
	id, err := x.index.Assign(ctx, folder, newRunID(folder))
	if err != nil {
		return nil, err
	}
	report = &Report{}
	return report, r.RunWhile(ctx, func(ctx context.Context) error {
		run, err := saga.Start(ctx, r, Scan, folder, saga.ID(id))
		if err != nil {
			return err
		}
		defer x.progress(ctx, id, notes)()
		return run.Result(ctx, report)
	})
}

// newRunID makes the id of a run over a folder. The index remembers it: so
// each start goes on with the same run, until the index forgets.
func newRunID(folder string) string {
	sum := sha256.Sum256([]byte(folder))
	return fmt.Sprintf("index-%x-%s", sum[:6], rand.Text()[:8])
}

// forget ends the folder's run, if it has one, and drops what it has indexed.
func (x *indexer) forget(ctx context.Context, r *router.Router, folder string) error {
	id, err := x.index.RunOf(ctx, folder)
	if err != nil || id == "" {
		return err
	}
	run, err := saga.Find(ctx, r, id)
	if err == nil {
		err = run.Cancel(ctx, "a fresh run was asked for")
	}
	if err != nil && !errors.Is(err, saga.ErrNotFound) {
		return err
	}
	return x.index.Forget(ctx, folder)
}

func (x *indexer) progress(ctx context.Context, run string, notes io.Writer) (stop func()) {
	ctx = context.WithoutCancel(ctx)
	return cli.Progress(notes, func() string {
		totals, expected, err := x.index.Totals(ctx, run)
		if err != nil {
			return err.Error()
		}
		return totals.line(expected)
	})
}

// find lists where a name is declared.
func find(ctx context.Context, index *Index, folder, name string, out io.Writer) error {
	run, err := index.RunOf(ctx, folder)
	if err != nil {
		return err
	}
	if run == "" {
		return fmt.Errorf("%s is not indexed yet; run indexer without -search first", folder)
	}
	receiver := ""
	if before, after, ok := strings.Cut(name, "."); ok {
		receiver, name = before, after
	}
	found, err := index.Search(ctx, run, name, receiver)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("no exported %s is declared in what is indexed of %s", name, folder)
	}
	return printFound(out, folder, found)
}
