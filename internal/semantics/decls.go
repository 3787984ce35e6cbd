package main

import (
	"go/ast"
	"go/token"
	"regexp"
)

// A reader collects the declarations of one file.
type reader struct {
	dir     string
	imports map[string]string // suites: name to folder
	decls   []*decl
}

var testName = regexp.MustCompile(`^(Test|Fuzz|Example)([^a-z]|$)`)

// read adds the declarations that d holds.
func (r *reader) read(d ast.Decl, inTestFile bool) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		test := inTestFile && d.Recv == nil && testName.MatchString(d.Name.Name) && d.Name.Name != "TestMain"
		r.add(decl{key: key{r.dir, d.Name.Name}, test: test, from: start(d.Doc, d), to: d.End()}, d)
	case *ast.GenDecl:
		for _, s := range d.Specs {
			r.readSpec(d, s)
		}
	}
}

func (r *reader) readSpec(d *ast.GenDecl, s ast.Spec) {
	whole, doc := ast.Node(s), d.Doc
	if !d.Lparen.IsValid() {
		whole = d
	}
	switch s := s.(type) {
	case *ast.TypeSpec:
		if d.Lparen.IsValid() {
			doc = s.Doc
		}
		r.add(decl{key: key{r.dir, s.Name.Name}, from: start(doc, whole), to: whole.End()}, s)
	case *ast.ValueSpec:
		if d.Lparen.IsValid() {
			doc = s.Doc
		}
		for _, n := range s.Names {
			r.add(decl{key: key{r.dir, n.Name}, from: start(doc, whole), to: whole.End()}, s)
		}
	}
}

func start(doc *ast.CommentGroup, n ast.Node) token.Pos {
	if doc != nil {
		return doc.Pos()
	}
	return n.Pos()
}

// add completes d with the names that its node refers to.
func (r *reader) add(d decl, n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if dir, ok := r.suiteOf(n.X); ok {
				d.refs = append(d.refs, key{dir, n.Sel.Name})
				return false
			}
		case *ast.Ident:
			if n.Name != d.name {
				d.refs = append(d.refs, key{r.dir, n.Name})
			}
		}
		return true
	})
	r.decls = append(r.decls, &d)
}

// suiteOf returns the folder of the suite that x names.
func (r *reader) suiteOf(x ast.Expr) (string, bool) {
	id, ok := x.(*ast.Ident)
	if !ok {
		return "", false
	}
	dir, ok := r.imports[id.Name]
	return dir, ok
}
