package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A table says which tests cite each statement, and on which pairs they run.
type table struct {
	stmts  []statement
	pairs  []string          // columns
	rows   map[string][]*row // by statement
	faults []string          // what is wrong with the citations
}

// A row is one test, subtest or case that cites a statement.
type row struct {
	test  string
	pairs map[string]bool // "" for tests of code that has no store
}

// tabulate follows the tests to the cases that they reach.
func tabulate(stmts []statement, src *source) *table {
	t := &table{stmts: stmts, pairs: src.pairs, rows: map[string][]*row{}, faults: src.faults}
	reached := map[*decl]map[string]bool{}
	for _, d := range src.all {
		if d.test {
			follow(src, d, reached)
		}
	}
	for _, d := range src.all {
		t.addRows(d, reached[d])
	}
	return t
}

// follow notes in reached what the test reaches, on each of its pairs.
func follow(src *source, test *decl, reached map[*decl]map[string]bool) {
	pairs := test.pairs
	if len(pairs) == 0 {
		pairs = []string{""}
	}
	for _, p := range pairs {
		reach(src, test, p, reached)
	}
}

// reach walks from d along the names that it refers to, on one pair.
func reach(src *source, d *decl, pair string, reached map[*decl]map[string]bool) {
	if reached[d] == nil {
		reached[d] = map[string]bool{}
	}
	if reached[d][pair] {
		return
	}
	reached[d][pair] = true
	for _, k := range d.refs {
		for _, next := range src.decls[k] {
			if !next.test && next.on(pair) {
				reach(src, next, pair, reached)
			}
		}
	}
}

// on reports whether a case runs on the pair: unless its directive names
// others only.
func (d *decl) on(pair string) bool {
	return pair == "" || len(d.pairs) == 0 || slices.Contains(d.pairs, pair)
}

func (t *table) addRows(d *decl, pairs map[string]bool) {
	for _, c := range d.cites {
		if len(pairs) == 0 {
			t.faults = append(t.faults, fmt.Sprintf("%s: %s is cited by %s, which no test reaches", c.pos, c.id, d.name))
			continue
		}
		name := d.dir + "." + d.name
		if c.sub != "" {
			name += "/" + c.sub
		}
		t.rows[c.id] = append(t.rows[c.id], &row{test: name, pairs: pairs})
	}
}

// count is the number of tests that cite the statement on the pair.
func (t *table) count(id, pair string) int {
	n := 0
	for _, r := range t.rows[id] {
		if r.pairs[pair] {
			n++
		}
	}
	return n
}

// missing lists the needs that are not met, a line each.
func (t *table) missing(needs []need) []string {
	var out []string
	for _, n := range needs {
		lacks := slices.DeleteFunc(slices.Clone(n.pairs), func(s string) bool { return t.count(n.id, s) > 0 })
		if len(lacks) > 0 {
			out = append(out, fmt.Sprintf("%s: no test cites it on %s", n.id, strings.Join(lacks, ", ")))
		}
	}
	return out
}

const titleWidth = 64

// print writes the statements, and below each the tests that cite it.
func (t *table) print(w io.Writer) {
	for i, p := range t.pairs {
		fmt.Fprintf(w, "%2d  %s\n", i+1, p)
	}
	fmt.Fprintln(w)
	t.printLine(w, "statement, and the tests that cite it", func(p string) string { return fmt.Sprint(slices.Index(t.pairs, p) + 1) })
	var uncited []string
	for _, s := range t.stmts {
		if len(t.rows[s.id]) == 0 && !isRequired(s.id) {
			uncited = append(uncited, s.id)
			continue
		}
		t.printStatement(w, s)
	}
	if len(uncited) > 0 {
		fmt.Fprintf(w, "\nneither required yet nor cited: %s\n", strings.Join(uncited, " "))
	}
}

func (t *table) printStatement(w io.Writer, s statement) {
	t.printLine(w, clip(fmt.Sprintf("%-4s%s", s.id, s.title), titleWidth), func(pair string) string {
		return fmt.Sprint(t.count(s.id, pair))
	})
	rows := slices.Clone(t.rows[s.id])
	slices.SortFunc(rows, func(a, b *row) int { return cmp.Compare(a.test, b.test) })
	for _, r := range rows {
		t.printLine(w, "      "+r.test, func(pair string) string {
			if r.pairs[pair] {
				return "x"
			}
			return "-"
		})
	}
}

// printLine writes one line: its head, and a cell for each pair.
func (t *table) printLine(w io.Writer, head string, cell func(pair string) string) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s", titleWidth, head)
	for _, p := range t.pairs {
		fmt.Fprintf(&b, " %4s", cell(p))
	}
	fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
}

// clip cuts s to at most n characters.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

func isRequired(id string) bool {
	return slices.ContainsFunc(required, func(n need) bool { return n.id == id })
}
