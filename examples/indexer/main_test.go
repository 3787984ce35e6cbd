package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/examples/internal/cli"
	"github.com/millrace-go/millrace/examples/internal/clitest"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(ctx context.Context, args ...string) (status int, out, notes string) {
	var o, n bytes.Buffer
	status = cli.Run(ctx, "indexer", program, args, &o, &n)
	return status, o.String(), n.String()
}

// write makes a folder with files, and returns its path without symlinks.
func write(t *testing.T, files map[string]string) string {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for name, text := range files {
		file := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	return root
}

var tree = map[string]string{
	"a/a.go": `package a

import (
	"fmt"
	str "strings"
	"math/rand/v2"
)

type Box[T any] struct{ v T }

func (b *Box[T]) Get() T { return b.v }

type hidden int

func (hidden) Shown() {}

const One, two = 1, 2

var Two = fmt.Sprint(str.ToUpper("x"), rand.Int())

func Do() { fmt.Println(); fmt.Println(Two) }
`,
	"a/a_test.go":    "package a\n\nfunc TestIt() {}\n",
	"b/c/broken.go":  "package c\n\nfunc Do( {\n",
	"b/c/whole.go":   "package c\n\nfunc Do() {}\n",
	".git/g.go":      "package g\n",
	"docs/readme.md": "nothing\n",
}

const report = `
         2  packages
         4  files
        30  lines
         6  exported names
         1  files that do not parse
         0  packages that can't be read

used most:

         2  fmt.Println
         1  fmt.Sprint
         1  math/rand/v2.Int
         1  strings.ToUpper
`

// Any store will do.
//
// L2
//
//semantics:stores memory sqlite
func TestIndexer(t *testing.T) {
	root := write(t, tree)
	for name, url := range map[string]string{"memory": "memory:", "sqlite": ""} {
		t.Run(name, func(t *testing.T) {
			args := []string{"-dir", t.TempDir(), "-store", url, root}
			status, out, notes := run(t.Context(), args...)
			require.Equal(t, 0, status, notes)
			require.Equal(t, root+"\n"+report, out)
			require.Contains(t, notes, "2 of 2 packages, 4 files, 30 lines\n")

			status, again, notes := run(t.Context(), args...)
			require.Equal(t, 0, status, notes)
			require.Equal(t, out, again)
		})
	}
}

func TestSearch(t *testing.T) {
	root, dir := write(t, tree), t.TempDir()
	status, _, notes := run(t.Context(), "-dir", dir, "-search", "Do", root)
	require.Equal(t, 1, status)
	require.Equal(t, "indexer: "+root+" is not indexed yet; run indexer without -search first\n", notes)

	status, _, notes = run(t.Context(), "-dir", dir, root)
	require.Equal(t, 0, status, notes)
	for name, want := range map[string]string{
		"Do":      "func  a.Do    ROOT/a/a.go:21\nfunc  b/c.Do  ROOT/b/c/whole.go:3\n",
		"Get":     "method  a.Box.Get  ROOT/a/a.go:11\n",
		"Box.Get": "method  a.Box.Get  ROOT/a/a.go:11\n",
		"Box":     "type  a.Box  ROOT/a/a.go:9\n",
		"One":     "const  a.One  ROOT/a/a.go:17\n",
		"Two":     "var  a.Two  ROOT/a/a.go:19\n",
	} {
		_, out, notes := run(t.Context(), "-dir", dir, "-search", name, root)
		require.Equal(t, strings.ReplaceAll(want, "ROOT", root), out, notes)
	}
	for _, name := range []string{"two", "Shown", "TestIt", "Other.Get"} {
		status, out, _ := run(t.Context(), "-dir", dir, "-search", name, root)
		require.Equal(t, 1, status)
		require.Empty(t, out)
	}
}

func TestFreshIndexesAgain(t *testing.T) {
	root, dir := write(t, tree), t.TempDir()
	_, first, _ := run(t.Context(), "-dir", dir, root)
	require.NoError(t, os.WriteFile(filepath.Join(root, "a", "more.go"), []byte("package a\n"), 0o644))
	_, again, _ := run(t.Context(), "-dir", dir, root)
	require.Equal(t, first, again, "the run has ended with its report")
	status, fresh, notes := run(t.Context(), "-dir", dir, "-fresh", root)
	require.Equal(t, 0, status, notes)
	require.Contains(t, fresh, "         5  files\n")
}

// F9: a fork that is staged in chunks.
//
//semantics:stores sqlite
func TestHundredsOfPackages(t *testing.T) {
	files := map[string]string{}
	for i := range 510 {
		files[fmt.Sprintf("p%d/p.go", i)] = fmt.Sprintf("package p%d\n\nfunc Same() {}\n", i)
	}
	status, out, notes := run(t.Context(), "-dir", t.TempDir(), write(t, files))
	require.Equal(t, 0, status, notes)
	require.Contains(t, out, "       510  packages\n       510  files\n     1,530  lines\n       510  exported names\n")
}

// F9: one dead child does not hang the run.
//
//semantics:stores memory
func TestPackageThatCannotBeReadIsCounted(t *testing.T) {
	root := write(t, tree)
	index, err := OpenIndex(t.Context(), filepath.Join(t.TempDir(), "index.db"))
	require.NoError(t, err)
	defer index.Close()
	r, err := router.New(t.Context(), router.Config{Store: "memory:"})
	require.NoError(t, err)
	defer r.Close()
	x := &indexer{index, 3}
	saga.Handle(r, Scan, x.scan)
	saga.Handle(r, Summarize, x.summarize)
	saga.Handle(r, Parse, func(ctx context.Context, s Source) (saga.Step, error) {
		if s.Dir == "b/c" {
			_, err := ParsePackage(root, "nowhere")
			return nil, saga.Permanent(err)
		}
		return x.parse(ctx, s)
	})
	id, err := index.Assign(t.Context(), root, "run")
	require.NoError(t, err)
	var got Report
	require.NoError(t, r.RunWhile(t.Context(), func(ctx context.Context) error {
		run, err := saga.Start(ctx, r, Scan, root, saga.ID(id))
		require.NoError(t, err)
		return run.Result(ctx, &got)
	}))
	require.Equal(t, 1, got.Unread)
	require.Equal(t, 1, got.Packages)
	require.Len(t, got.Top, 3)
}

// Killed at random moments and started again, it ends with the same report.
//
// M2, F2, F9
//
//semantics:stores sqlite
func TestKilledIndexerEndsWithTheSameReport(t *testing.T) {
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	folder := filepath.Join(strings.TrimSpace(string(root)), "src", "go")
	indexer := clitest.Build(t)
	begun := time.Now()
	want := indexer.Output("-dir", "undisturbed", folder)
	took := time.Since(begun)
	kills := 0
	for _, dir := range []string{"one", "two"} {
		for range 6 {
			if indexer.Kill(rand.N(took/2), "-dir", dir, folder) {
				kills++
			}
		}
		require.Equal(t, want, indexer.Output("-dir", dir, folder))
	}
	t.Logf("an undisturbed run took %v; killed %d times", took, kills)
}

func TestWrongUseIsOneLine(t *testing.T) {
	file := filepath.Join(write(t, tree), "a", "a.go")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-top", "x"}, `indexer: invalid value "x" for flag -top: parse error; -h lists the flags`},
		{[]string{"a", "b"}, "indexer: one folder, please, not 2, after the flags"},
		{[]string{"no-such-folder"}, "no-such-folder: no such file or directory"},
		{[]string{file}, "a.go is not a folder"},
		{[]string{"-store", "nonsense:", "."}, `indexer: store URL "nonsense:": unknown scheme "nonsense"; linked: memory, postgres, postgresql, redis, rediss, sqlite`},
	} {
		status, out, notes := run(t.Context(), append([]string{"-dir", t.TempDir()}, c.args...)...)
		require.Equal(t, 1, status)
		require.Empty(t, out)
		require.True(t, strings.HasSuffix(notes, c.want+"\n"), notes)
		require.Equal(t, 1, strings.Count(notes, "\n"), notes)
	}
}
