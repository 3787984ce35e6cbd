package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
)

// Totals are what was counted.
type Totals struct{ Packages, Files, Lines, Broken int }

func (t Totals) line(expected int) string {
	if expected == 0 {
		return "looking for packages"
	}
	return fmt.Sprintf("%s of %s packages, %s files, %s lines",
		comma(t.Packages), comma(expected), comma(t.Files), comma(t.Lines))
}

// Use is how often an exported name is used by other packages.
type Use struct {
	Name  string
	Times int
}

// Report is the result of a run. It holds nothing but what is in the folder,
// so that it is the same however often the run was interrupted.
type Report struct {
	Folder string
	Totals
	Unread int // packages that could not be read
	Names  int // exported names that are declared
	Top    []Use
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	lines := []Use{
		{"packages", r.Packages}, {"files", r.Files}, {"lines", r.Lines}, {"exported names", r.Names},
		{"files that do not parse", r.Broken}, {"packages that can't be read", r.Unread},
	}
	_, err := fmt.Fprintf(w, "%s\n\n%s\nused most:\n\n%s", r.Folder, table(lines), table(r.Top))
	return err
}

func table(lines []Use) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%10s  %s\n", comma(l.Times), l.Name)
	}
	return b.String()
}

// printFound lists declarations for people.
func printFound(w io.Writer, folder string, found []Found) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range found {
		name := f.Name.Name
		if f.Receiver != "" {
			name = f.Receiver + "." + name
		}
		file := filepath.Join(folder, filepath.FromSlash(f.Dir), f.File)
		fmt.Fprintf(t, "%s\t%s\t%s:%d\n", f.Kind, f.Dir+"."+name, file, f.Line)
	}
	return t.Flush()
}

func comma(n int) string { return humanize.Comma(int64(n)) }
