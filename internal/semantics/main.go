// Semantics prints which statements of docs/semantics.md are cited by which
// tests, and on which pairs of a store and a broker these run.
//
//	go run ./internal/semantics           the table
//	go run ./internal/semantics -check    the same; exit code 1 when one is missing
//
// A test cites statements in a comment line of its own, on or inside the test,
// the subtest, or the case of a suite:
//
//	// M3, M5
//	// F2: in whichever order the branches end
//
// The pairs of a test are those that a directive names by patterns, in the file
// for all its tests or on one function; stores are those pairs that have no
// broker. Tests in a store's folder (store/sqlite) are about that store.
//
//	//semantics:pairs postgres* redis+amqp
//	//semantics:stores memory sqlite
//
// A suite is a package whose folder's name ends in "test". A case of it counts
// on every pair whose tests reach it, through the functions and tables of
// the suite; a directive on a case, or in its file, narrows that. Names are
// followed as they are written, without types. A citation that no test
// reaches is an error, and so is one of a statement that doesn't exist.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/millrace-go/millrace/internal/pairs"
)

func main() {
	root := flag.String("root", ".", "root folder of the module")
	check := flag.Bool("check", false, "exit with code 1 if a required statement is not cited, or a citation is wrong")
	flag.Parse()

	faults, err := run(os.Stdout, *root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "semantics:", err)
		os.Exit(1)
	}
	for _, f := range faults {
		fmt.Fprintln(os.Stderr, f)
	}
	if *check && len(faults) > 0 {
		fmt.Fprintf(os.Stderr, "semantics: %d faults\n", len(faults))
		os.Exit(1)
	}
}

// run prints the table of the module in the folder root to w. It returns what
// is wrong with the citations, a line each.
func run(w io.Writer, root string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "semantics.md"))
	if err != nil {
		return nil, err
	}
	stmts := parseStatements(string(text))
	src, err := load(os.DirFS(root), stmts, pairs.Matching("*"))
	if err != nil {
		return nil, err
	}
	t := tabulate(stmts, src)
	t.print(w)
	return append(t.faults, t.missing(required)...), nil
}
