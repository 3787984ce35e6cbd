package main

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
)

// The run: Scan forks one Parse for each package, and Summarize gets to run
// once the last of them has ended.
var (
	Scan      = saga.NewTask[string]("indexer/scan")
	Parse     = saga.NewTask[Source]("indexer/parse")
	Summarize = saga.NewTask[saga.Joined[string]]("indexer/summarize")
)

// Source is a package to be parsed.
type Source struct{ Root, Dir string }

// indexer has what the handlers need.
type indexer struct {
	index *Index
	top   int // how many of the most used names are reported
}

func (x *indexer) bind(r *router.Router) {
	saga.Handle(r, Scan, x.scan)
	// A folder that can't be read is tried again, and then given up: the
	// report says how many those are.
	saga.Handle(r, Parse, x.parse, saga.WithPolicy(step.Policy{Initial: 100 * time.Millisecond, Attempts: 3}))
	saga.Handle(r, Summarize, x.summarize)
}

func (x *indexer) scan(ctx context.Context, root string) (saga.Step, error) {
	dirs, err := packageDirs(ctx, root)
	if err != nil {
		return nil, err
	}
	if err := x.index.Expect(ctx, saga.RunID(ctx), len(dirs)); err != nil {
		return nil, err
	}
	fork := saga.ForkSeq(Parse, func(yield func(Source) bool) {
		for _, dir := range dirs {
			if !yield(Source{root, dir}) {
				return
			}
		}
	})
	return saga.Do(fork, saga.Join(saga.AllOf(fork), Summarize, root)), nil
}

func (x *indexer) parse(ctx context.Context, s Source) (saga.Step, error) {
	p, err := ParsePackage(s.Root, s.Dir)
	if err != nil {
		return nil, err
	}
	return nil, x.index.Put(ctx, saga.RunID(ctx), p)
}

func (x *indexer) summarize(ctx context.Context, j saga.Joined[string]) (saga.Step, error) {
	report, err := x.index.Report(ctx, saga.RunID(ctx), x.top)
	if err != nil {
		return nil, err
	}
	report.Folder, report.Unread = j.Data, j.Failed
	return saga.Finish(report), nil
}

// packageDirs returns the folders below root that hold Go files, relative to
// it. What begins with a dot is left out.
func packageDirs(ctx context.Context, root string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && path == root:
			return err
		case err != nil: // Parse will meet the same, and count it
			dirs = append(dirs, path)
		case path != root && e.IsDir() && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case isGoFile(e):
			dirs = append(dirs, filepath.Dir(path))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	for i, dir := range dirs {
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			return nil, err
		}
		dirs[i] = filepath.ToSlash(rel)
	}
	return dirs, nil
}
