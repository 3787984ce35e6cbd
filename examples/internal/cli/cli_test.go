package cli_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/examples/internal/cli"
	"github.com/millrace-go/millrace/router"
)

func run(t *testing.T, p cli.Program, args ...string) (status int, out, notes string) {
	var o, n bytes.Buffer
	status = cli.Run(t.Context(), "example", p, args, &o, &n)
	return status, o.String(), n.String()
}

func TestErrorsAreOneLine(t *testing.T) {
	status, out, notes := run(t, func(context.Context, []string, io.Writer, io.Writer) error {
		return errors.Join(errors.New("one"), errors.New("two"))
	})
	require.Equal(t, 1, status)
	require.Empty(t, out)
	require.Equal(t, "example: one two\n", notes)
}

func TestInterruptionIsNoFault(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var notes bytes.Buffer
	status := cli.Run(ctx, "example", func(ctx context.Context, _ []string, _, _ io.Writer) error {
		interrupt()
		<-ctx.Done()
		return ctx.Err()
	}, nil, io.Discard, &notes)
	require.Equal(t, 1, status)
	require.Equal(t, "example: interrupted; start it again to go on\n", notes.String())
}

func withFlags(dir string, cfg *router.Config) cli.Program {
	return func(_ context.Context, args []string, out, notes io.Writer) error {
		f := cli.NewFlags("example [flags]", "Shows something.", dir)
		err := f.Read(args, out)
		if err == nil {
			*cfg, err = f.Config(notes)
		}
		return err
	}
}

func TestFlags(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var cfg router.Config
	program := withFlags(dir, &cfg)

	status, out, notes := run(t, program, "-h")
	require.Equal(t, 0, status)
	require.Contains(t, out, "usage: example [flags]\n\nShows something.\n\n  -dir folder\n")
	require.Empty(t, notes)
	require.NoDirExists(t, dir)

	status, out, notes = run(t, program, "-nonsense")
	require.Equal(t, 1, status)
	require.Empty(t, out)
	require.Equal(t, "example: flag provided but not defined: -nonsense; -h lists the flags\n", notes)

	t.Setenv("MILLRACE_STORE", "")
	t.Setenv("MILLRACE_TRANSPORT", "")
	status, _, _ = run(t, program)
	require.Equal(t, 0, status)
	require.Equal(t, "sqlite://"+dir+"/millrace.db", cfg.Store)
	ignore, err := os.ReadFile(filepath.Join(dir, ".gitignore"))
	require.NoError(t, err)
	require.Equal(t, "*\n", string(ignore))
}

func TestFlagsGoOverTheEnvironment(t *testing.T) {
	var cfg router.Config
	program := withFlags(t.TempDir(), &cfg)
	t.Setenv("MILLRACE_STORE", "memory:")
	t.Setenv("MILLRACE_CONCURRENCY", "7")

	status, _, _ := run(t, program)
	require.Equal(t, 0, status)
	require.Equal(t, "memory:", cfg.Store)
	require.Equal(t, 7, cfg.Concurrency)

	status, _, _ = run(t, program, "-store", "sqlite:other.db", "-transport", "memory:")
	require.Equal(t, 0, status)
	require.Equal(t, "sqlite:other.db", cfg.Store)
	require.Equal(t, "memory:", cfg.Transport)
}

func TestProgressIsShownOnceMoreAtTheEnd(t *testing.T) {
	var notes bytes.Buffer
	stop := cli.Progress(&notes, func() string { return "3 of 3" })
	stop()
	require.Equal(t, "3 of 3\n", notes.String())
}
