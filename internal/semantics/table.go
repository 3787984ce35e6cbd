package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A table says which tests cite each statement, and on which stores they run.
type table struct {
	stmts  []statement
	stores []string          // columns
	rows   map[string][]*row // by statement
	faults []string          // what is wrong with the citations
}

// A row is one test, subtest or case that cites a statement.
type row struct {
	test   string
	stores map[string]bool // "" for tests of code that has no store
}

// tabulate follows the tests to the cases that they reach.
func tabulate(stmts []statement, src *source) *table {
	t := &table{stmts: stmts, stores: []string{"memory", "sqlite"}, rows: map[string][]*row{}, faults: src.faults}
	reached := map[*decl]map[string]bool{}
	for _, d := range src.all {
		if d.test {
			t.follow(src, d, reached)
		}
	}
	for _, d := range src.all {
		t.addRows(d, reached[d])
	}
	return t
}

// follow notes in reached what the test reaches, on each of its stores.
func (t *table) follow(src *source, test *decl, reached map[*decl]map[string]bool) {
	stores := test.stores
	if len(stores) == 0 {
		stores = []string{""}
	}
	for _, s := range stores {
		if s != "" && !slices.Contains(t.stores, s) {
			t.stores = append(t.stores, s)
		}
		reach(src, test, s, reached)
	}
}

// reach walks from d along the names that it refers to, on one store.
func reach(src *source, d *decl, store string, reached map[*decl]map[string]bool) {
	if reached[d] == nil {
		reached[d] = map[string]bool{}
	}
	if reached[d][store] {
		return
	}
	reached[d][store] = true
	for _, k := range d.refs {
		for _, next := range src.decls[k] {
			if !next.test && next.on(store) {
				reach(src, next, store, reached)
			}
		}
	}
}

// on reports whether a case runs on the store: unless its directive names
// others only.
func (d *decl) on(store string) bool {
	return store == "" || len(d.stores) == 0 || slices.Contains(d.stores, store)
}

func (t *table) addRows(d *decl, stores map[string]bool) {
	for _, c := range d.cites {
		if len(stores) == 0 {
			t.faults = append(t.faults, fmt.Sprintf("%s: %s is cited by %s, which no test reaches", c.pos, c.id, d.name))
			continue
		}
		name := d.dir + "." + d.name
		if c.sub != "" {
			name += "/" + c.sub
		}
		t.rows[c.id] = append(t.rows[c.id], &row{test: name, stores: stores})
	}
}

// count is the number of tests that cite the statement on the store.
func (t *table) count(id, store string) int {
	n := 0
	for _, r := range t.rows[id] {
		if r.stores[store] {
			n++
		}
	}
	return n
}

// missing lists the needs that are not met, a line each.
func (t *table) missing(needs []need) []string {
	var out []string
	for _, n := range needs {
		lacks := slices.DeleteFunc(slices.Clone(n.stores), func(s string) bool { return t.count(n.id, s) > 0 })
		if len(lacks) > 0 {
			out = append(out, fmt.Sprintf("%s: no test cites it on %s", n.id, strings.Join(lacks, ", ")))
		}
	}
	return out
}

const titleWidth = 64

// print writes the statements, and below each the tests that cite it.
func (t *table) print(w io.Writer) {
	t.printLine(w, "statement, and the tests that cite it", func(s string) string { return s })
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
	t.printLine(w, clip(fmt.Sprintf("%-4s%s", s.id, s.title), titleWidth), func(store string) string {
		return fmt.Sprint(t.count(s.id, store))
	})
	rows := slices.Clone(t.rows[s.id])
	slices.SortFunc(rows, func(a, b *row) int { return cmp.Compare(a.test, b.test) })
	for _, r := range rows {
		t.printLine(w, "      "+r.test, func(store string) string {
			if r.stores[store] {
				return "x"
			}
			return "-"
		})
	}
}

// printLine writes one line: its head, and a cell for each store.
func (t *table) printLine(w io.Writer, head string, cell func(store string) string) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s", titleWidth, head)
	for _, s := range t.stores {
		fmt.Fprintf(&b, "  %*s", max(len(s), 6), cell(s))
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
