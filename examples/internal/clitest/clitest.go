// Package clitest builds programs, runs them, and kills them at any instant.
package clitest

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Program is a program that was built for a test.
type Program struct {
	t    *testing.T
	path string
	dir  string   // working directory
	env  []string // beside that of the test
}

// Build builds the program in the test's own folder. It runs in a folder that
// is empty at first.
func Build(t *testing.T) *Program { return BuildPackage(t, ".") }

// BuildPackage builds the program in a folder of its own.
func BuildPackage(t *testing.T, folder string) *Program {
	p := &Program{t: t, path: filepath.Join(t.TempDir(), "program"), dir: t.TempDir()}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.path, folder).CombinedOutput()
	require.NoError(t, err, "go build: %s", out)
	return p
}

// In returns the same program for another test, in another folder that is
// empty at first, with more in its environment: "NAME=value".
func (p *Program) In(t *testing.T, env ...string) *Program {
	return &Program{t: t, path: p.path, dir: t.TempDir(), env: env}
}

// Output runs the program to its end, which must be a success, and returns
// what it wrote to its standard output.
func (p *Program) Output(args ...string) string {
	p.t.Helper()
	out, killed := p.run(p.t.Context(), args)
	require.False(p.t, killed)
	return out
}

// Kill runs the program, and kills it after some time (kill -9). It reports
// whether it came to that: a program that ends before must do so with success.
func (p *Program) Kill(after time.Duration, args ...string) bool {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), after)
	defer cancel()
	_, killed := p.run(ctx, args)
	return killed
}

func (p *Program) run(ctx context.Context, args []string) (out string, killed bool) {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, &stdout, &stderr
	cmd.Env = append(cmd.Environ(), p.env...)
	err := cmd.Run()
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "", true
	}
	require.NoError(p.t, err, "%s", stderr.Bytes())
	return stdout.String(), false
}
