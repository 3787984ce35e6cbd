package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/millrace-go/millrace/router"
)

// Flags are a program's flags; these come with all of them.
type Flags struct {
	*flag.FlagSet
	Dir   string // where the program keeps its files
	Fresh bool   // begin anew, instead of going on

	store, transport string
}

// NewFlags returns the flags of a program that keeps its files in the folder
// dir of the working directory. synopsis is the first line of its usage,
// about says what it does.
func NewFlags(synopsis, about, dir string) *Flags {
	f := &Flags{FlagSet: flag.NewFlagSet(synopsis, flag.ContinueOnError)}
	f.StringVar(&f.Dir, "dir", dir, "`folder` for the program's own files, and for the default store")
	f.BoolVar(&f.Fresh, "fresh", false, "begin anew, instead of going on where the last start ended")
	f.StringVar(&f.store, "store", "", "`URL` of the store; default: MILLRACE_STORE, or an SQLite file in -dir")
	f.StringVar(&f.transport, "transport", "", "`URL` of the broker; default: MILLRACE_TRANSPORT, or none")
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: %s\n\n%s\n\n", synopsis, about)
		f.PrintDefaults()
	}
	return f
}

// Read parses arguments. When they ask for help, it writes the usage to out
// and returns flag.ErrHelp.
func (f *Flags) Read(args []string, out io.Writer) error {
	usage := f.Usage
	f.Usage = func() {}
	f.SetOutput(io.Discard)
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		f.SetOutput(out)
		usage()
		return err
	}
	if err != nil {
		return fmt.Errorf("%w; -h lists the flags", err)
	}
	return nil
}

// Config makes the folder of the program's files, and returns what its router
// is to work on: the environment, and over it the flags.
func (f *Flags) Config(notes io.Writer) (router.Config, error) {
	cfg, err := router.Load("")
	if err != nil {
		return cfg, err
	}
	if f.store != "" {
		cfg.Store = f.store
	}
	if f.transport != "" {
		cfg.Transport = f.transport
	}
	dir, err := f.makeDir()
	if err != nil {
		return cfg, err
	}
	if cfg.Store == "" {
		cfg.Store = (&url.URL{Scheme: "sqlite", Path: filepath.ToSlash(filepath.Join(dir, "millrace.db"))}).String()
	}
	cfg.Log = slog.New(slog.NewTextHandler(notes, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return cfg, nil
}

// makeDir makes the folder, which version control is told to leave alone, and
// returns its absolute path.
func (f *Flags) makeDir() (string, error) {
	dir, err := filepath.Abs(f.Dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	f.Dir = dir
	ignore := filepath.Join(dir, ".gitignore")
	if _, err := os.Stat(ignore); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	return dir, os.WriteFile(ignore, []byte("*\n"), 0o644)
}
