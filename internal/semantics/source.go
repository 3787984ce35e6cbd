package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A source is what the tests and suites of a module say about the statements.
type source struct {
	module string
	ids    map[string]bool // of all statements
	pairs  []string        // that there are
	fset   *token.FileSet
	decls  map[key][]*decl // methods stand under their bare names
	all    []*decl         // in the order of folders, files and lines
	faults []string        // wrong citations, as "file:line: what"
}

// A key names declarations of a package.
type key struct{ dir, name string }

// A decl is a function, or a variable, type or constant, at top level.
type decl struct {
	key
	test     bool
	pairs    []string // of the directive, or of the folder
	refs     []key    // names in it, of its package and of suites
	cites    []citation
	from, to token.Pos // with its doc comment
}

// A citation is one statement named in a declaration.
type citation struct {
	id  string
	sub string // subtest
	pos string // file:line
}

func (d *decl) cite(c citation) {
	same := func(o citation) bool { return o.id == c.id && o.sub == c.sub }
	if !slices.ContainsFunc(d.cites, same) {
		d.cites = append(d.cites, c)
	}
}

var moduleLine = regexp.MustCompile(`(?m)^module\s+(\S+)`)

// load reads the test files and the suites of the module at the root of fsys.
// pairs are those that there are.
func load(fsys fs.FS, stmts []statement, pairs []string) (*source, error) {
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, err
	}
	m := moduleLine.FindSubmatch(mod)
	if m == nil {
		return nil, fmt.Errorf("go.mod names no module")
	}
	s := &source{module: string(m[1]), ids: map[string]bool{}, pairs: pairs, fset: token.NewFileSet(), decls: map[key][]*decl{}}
	for _, st := range stmts {
		s.ids[st.id] = true
	}
	err = fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return enter(fsys, name)
		case isTest(name), isSuite(path.Dir(name)) && path.Ext(name) == ".go":
			return s.add(fsys, name)
		}
		return nil
	})
	return s, err
}

// enter skips folders that are no part of the module's packages.
func enter(fsys fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	if err == nil || base == "testdata" || base == "vendor" || strings.ContainsAny(base[:1], "._") {
		return fs.SkipDir
	}
	return nil
}

func isTest(name string) bool { return strings.HasSuffix(name, "_test.go") }

// isSuite reports whether a package of this folder or import path is a suite.
func isSuite(p string) bool { return strings.HasSuffix(path.Base(p), "test") }

// matching returns the pairs whose names match a pattern, such as "sqlite" or
// "*+amqp".
func (s *source) matching(pattern string) (names []string) {
	for _, p := range s.pairs {
		if ok, err := path.Match(pattern, p); ok && err == nil {
			names = append(names, p)
		}
	}
	return names
}

func (s *source) known(id string) bool { return s.ids[id] }

// section reports whether id begins with the letter of a section.
func (s *source) section(id string) bool { return s.ids[id[:1]+"1"] }

func (s *source) pos(p token.Pos) string {
	at := s.fset.Position(p)
	return fmt.Sprintf("%s:%d", at.Filename, at.Line)
}

func (s *source) line(p token.Pos) int { return s.fset.Position(p).Line }

// add parses a file and reads its declarations and citations.
func (s *source) add(fsys fs.FS, name string) error {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(s.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	r := reader{dir: path.Dir(name), imports: s.suites(f)}
	for _, d := range f.Decls {
		r.read(d, isTest(name))
	}
	c := citer{src: s, home: r.decls, subs: subtests(f)}
	c.read(f.Comments)
	for _, d := range r.decls {
		if d.pairs == nil {
			d.pairs = s.folderPairs(d.dir)
		}
		s.decls[d.key] = append(s.decls[d.key], d)
	}
	s.all = append(s.all, r.decls...)
	return nil
}

// folderPairs returns the store whose driver the folder holds, if it does: its
// tests are about it alone, whatever the broker.
func (s *source) folderPairs(dir string) []string {
	parent, base := path.Split(dir)
	if parent == "store/" && !isSuite(dir) {
		return s.matching(base)
	}
	return nil
}

// suites maps the names under which a file imports suites to their folders.
func (s *source) suites(f *ast.File) map[string]string {
	out := map[string]string{}
	for _, im := range f.Imports {
		p, err := strconv.Unquote(im.Path.Value)
		dir, ours := strings.CutPrefix(p, s.module+"/")
		if err != nil || !ours || !isSuite(dir) {
			continue
		}
		name := path.Base(dir)
		if im.Name != nil {
			name = im.Name.Name
		}
		out[name] = dir
	}
	return out
}

// subtests lists the calls x.Run("name", ...) of a file in source order.
func subtests(f *ast.File) []subtest {
	var out []subtest
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 2 {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		lit, isLit := call.Args[0].(*ast.BasicLit)
		if !ok || sel.Sel.Name != "Run" || !isLit || lit.Kind != token.STRING {
			return true
		}
		if name, err := strconv.Unquote(lit.Value); err == nil {
			out = append(out, subtest{name: name, from: call.Pos(), to: call.End()})
		}
		return true
	})
	return out
}
