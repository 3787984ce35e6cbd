package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestStatementsAreTheListItems(t *testing.T) {
	got := parseStatements("# Title\n- M1 Ids are derived. More.\n- M10 The id reaches\n  the handler.\n\n- no statement\n## F.\n- F2 A join fires (n of m), once.\n")
	want := []statement{{"M1", "Ids are derived"}, {"M10", "The id reaches"}, {"F2", "A join fires (n of m), once"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRequiredStatementsExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/semantics.md")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, s := range parseStatements(string(text)) {
		ids[s.id] = true
	}
	for _, n := range required {
		if !ids[n.id] {
			t.Errorf("%s is required, and docs/semantics.md doesn't have it", n.id)
		}
	}
	if len(required) != 45 {
		t.Errorf("%d statements are required, want 45", len(required))
	}
}

func TestCitationLines(t *testing.T) {
	for line, want := range map[string]string{
		"M3":                         "M3",
		"M3, M5":                     "M3 M5",
		"M3 M5":                      "M3 M5",
		"F10: another service":       "F10",
		"F2, F3: in any order":       "F2 F3",
		"M9. It holds":               "M9",
		"M3 is what this proves":     "",
		"M1-M3":                      "",
		"see M3":                     "",
		"TestX checks that M3 holds": "",
		"":                           "",
	} {
		if got := strings.Join(cited(line), " "); got != want {
			t.Errorf("%q cites %q, want %q", line, got, want)
		}
	}
}

// statements for the modules below.
var few = []statement{{"M1", "One"}, {"M2", "Two"}, {"M3", "Three"}, {"F1", "Four"}}

// scan tabulates a module of the given files; test files need no package
// clause nor imports of their own.
func scan(t *testing.T, files map[string]string) *table {
	t.Helper()
	fsys := fstest.MapFS{"go.mod": {Data: []byte("module example.org/m\n")}}
	for name, text := range files {
		if strings.HasSuffix(name, ".go") && !strings.Contains(text, "package ") {
			text = "package p\n" + text
		}
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	src, err := load(fsys, few, []string{"memory", "sqlite", "sqlite+amqp"})
	if err != nil {
		t.Fatal(err)
	}
	return tabulate(few, src)
}

// show writes the rows of a table as "M1 dir.Test/sub [store store]".
func show(tb *table) []string {
	var out []string
	for id, rows := range tb.rows {
		for _, r := range rows {
			var stores []string
			for s := range r.pairs {
				stores = append(stores, s)
			}
			slices.Sort(stores)
			out = append(out, id+" "+r.test+" ["+strings.Join(stores, " ")+"]")
		}
	}
	slices.Sort(out)
	return out
}

func expect(t *testing.T, tb *table, rows ...string) {
	t.Helper()
	if got := show(tb); !slices.Equal(got, rows) {
		t.Errorf("rows:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(rows, "\n"))
	}
	for _, f := range tb.faults {
		t.Errorf("fault: %s", f)
	}
}

func TestCommentsBelongToTheNearestTestAndSubtest(t *testing.T) {
	tb := scan(t, map[string]string{"step/a_test.go": `
// TestDoc has a doc comment.
//
// M1
func TestDoc(t *testing.T) {}

func TestInside(t *testing.T) {
	// M2, M3: both
	t.Run("outer", func(t *testing.T) {
		// M1
		t.Run("inner", func(t *testing.T) {
			x() // M2
			x() // M2
		})
		x()
		// F1
		t.Run(name, func(t *testing.T) {})
	})
	x() // M1
}

// FuzzThis
//
// F1
func FuzzThis(f *testing.F) {}
`})
	expect(t, tb,
		"F1 step.FuzzThis []",
		"F1 step.TestInside/outer []",
		"M1 step.TestDoc []",
		"M1 step.TestInside []",
		"M1 step.TestInside/inner []",
		"M2 step.TestInside/inner []",
		"M2 step.TestInside/outer []",
		"M3 step.TestInside/outer []",
	)
}

func TestStringsAndOtherNumbersCiteNothing(t *testing.T) {
	tb := scan(t, map[string]string{
		"a/a_test.go":          "func TestA(t *testing.T) {\n\t_ = `\n// M1\n`\n\t// P1\n}",
		"a/a.go":               "// M1\nfunc A() {}",
		"a/testdata/b_test.go": "// M1\nfunc TestB(t *testing.T) {}",
		"tools/go.mod":         "module example.org/tools",
		"tools/c_test.go":      "// M1\nfunc TestC(t *testing.T) {}",
	})
	expect(t, tb)
}

func TestStoresComeFromFolderOrDirective(t *testing.T) {
	tb := scan(t, map[string]string{
		"store/sqlite/a_test.go": "// M1\nfunc TestA(t *testing.T) {}",
		"saga/b_test.go": `
//semantics:stores memory sqlite

// M1
func TestB(t *testing.T) {}

// TestC
//
// M1
//
//semantics:stores sqlite
func TestC(t *testing.T) {}
`,
		"saga/d_test.go": "// M1\nfunc TestD(t *testing.T) {}",
	})
	expect(t, tb,
		"M1 saga.TestB [memory sqlite]",
		"M1 saga.TestC [sqlite]",
		"M1 saga.TestD []",
		"M1 store/sqlite.TestA [sqlite]",
	)
}

// suite is a module with a suite that two drivers run, one of them more of it.
func suite() map[string]string {
	return map[string]string{
		"store/storetest/run.go": `
var cases = []struct{}{
	{"commit", testCommit}, // M1
}

func Run(t *testing.T, h Harness) { for range cases { h.all(t) } }

func RunSQL(t *testing.T) { testTx(t) }

func testCommit(t *testing.T) {
	t.Run("twice", func(t *testing.T) {
		// M2
	})
}

// M3
func testTx(t *testing.T) {}

// testFile needs a file.
//
// F1
//
//semantics:stores sqlite
func testFile(t *testing.T) {}

func (h Harness) all(t *testing.T) { testFile(t) }

type Harness struct{}
`,
		"store/memory/m_test.go": `package memory_test
import "example.org/m/store/storetest"
func TestSuite(t *testing.T) { storetest.Run(t, h) }
`,
		"store/sqlite/s_test.go": `package sqlite_test
import st "example.org/m/store/storetest"
func TestSuite(t *testing.T) { run(t) }
func run(t *testing.T) { st.Run(t, h); st.RunSQL(t) }
`,
	}
}

func TestDirectivesNamePairsByPatterns(t *testing.T) {
	expect(t, scan(t, map[string]string{"a/a_test.go": `
//semantics:pairs sqlite*

// M1
func TestA(t *testing.T) {}

// M2
//
//semantics:pairs *+*
func TestB(t *testing.T) {}

// M3
//
//semantics:stores memory sqlite
func TestC(t *testing.T) {}
`}), "M1 a.TestA [sqlite sqlite+amqp]", "M2 a.TestB [sqlite+amqp]", "M3 a.TestC [memory sqlite]")
}

func TestCasesCountForTheStoresWhoseTestsReachThem(t *testing.T) {
	expect(t, scan(t, suite()),
		"F1 store/storetest.testFile [sqlite]",
		"M1 store/storetest.cases [memory sqlite]",
		"M2 store/storetest.testCommit/twice [memory sqlite]",
		"M3 store/storetest.testTx [sqlite]",
	)
}

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no such statement": {"// M9\nfunc TestA(t *testing.T) {}", "a/a_test.go:2: there is no statement M9"},
		"no such pair":      {"//semantics:pairs none*\nfunc TestA(t *testing.T) {}", "a/a_test.go:2: there is no pair none*"},
		"outside":           {"// M1\n\nfunc TestA(t *testing.T) {}", "a/a_test.go:2: M1 is cited outside of any test or case"},
		"not reached":       {"// M1\nfunc caseA(t *testing.T) {}", "a/a_test.go:2: M1 is cited by caseA, which no test reaches"},
		"words follow": {"// M1 holds\nfunc TestA(t *testing.T) {}",
			"a/a_test.go:2: not a citation, since words follow the number: write \"// M3\" or \"// M3: words\""},
	} {
		t.Run(name, func(t *testing.T) {
			tb := scan(t, map[string]string{"a/a_test.go": c.text})
			if !slices.Equal(tb.faults, []string{c.want}) {
				t.Errorf("faults %q, want %q", tb.faults, c.want)
			}
		})
	}
}

func TestMissingNamesStatementsAndStores(t *testing.T) {
	tb := scan(t, map[string]string{
		"store/sqlite/a_test.go": "// M1, M3\nfunc TestA(t *testing.T) {}",
		"store/memory/b_test.go": "// M3\nfunc TestB(t *testing.T) {}",
	})
	got := tb.missing(needs("M1-M3 F1", []string{"memory", "sqlite"}, map[string][]string{"F1": {"sqlite"}}))
	want := []string{"M1: no test cites it on memory", "M2: no test cites it on memory, sqlite", "F1: no test cites it on sqlite"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTable(t *testing.T) {
	tb := scan(t, map[string]string{
		"store/sqlite/a_test.go": "// M1, M3\nfunc TestA(t *testing.T) {}",
		"step/b_test.go":         "// M3\nfunc TestB(t *testing.T) {}",
	})
	tb.stmts = append(slices.Clone(few), statement{"W1", "Later"})
	var b strings.Builder
	tb.print(&b)
	want := strings.ReplaceAll(`
 1  memory
 2  sqlite
 3  sqlite+amqp

statement, and the tests that cite it                           |    1    2    3
M1  One                                                         |    0    1    0
      store/sqlite.TestA                                        |    -    x    -
M2  Two                                                         |    0    0    0
M3  Three                                                       |    0    1    0
      step.TestB                                                |    -    -    -
      store/sqlite.TestA                                        |    -    x    -
F1  Four                                                        |    0    0    0

neither required yet nor cited: W1
`, "|", "")
	if got := "\n" + b.String(); got != want {
		t.Errorf("table:%s\nwant:%s", got, want)
	}
}
