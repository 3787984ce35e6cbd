package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Package is what the index keeps of a folder of Go files. Test files are
// counted, but the names that they declare are nobody's to use.
type Package struct {
	Dir    string // relative to the folder that is indexed, with slashes
	Files  int
	Lines  int
	Broken int // files that do not parse
	Names  []Name
	Uses   map[string]int // exported names of other packages, with their import path
}

// Name is where an exported name is declared.
type Name struct {
	Name     string
	Receiver string // of a method
	Kind     string // func, method, type, const, var
	File     string
	Line     int
}

// ParsePackage reads the Go files of root/dir.
func ParsePackage(root, dir string) (*Package, error) {
	p := &Package{Dir: dir, Uses: map[string]int{}}
	folder := filepath.Join(root, filepath.FromSlash(dir))
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !isGoFile(e) {
			continue
		}
		src, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		p.add(e.Name(), src)
	}
	return p, nil
}

func isGoFile(e os.DirEntry) bool {
	return e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".go")
}

func (p *Package) add(name string, src []byte) {
	p.Files++
	p.Lines += bytes.Count(src, []byte("\n"))
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		p.Broken++
		return
	}
	p.count(file)
	if strings.HasSuffix(name, "_test.go") {
		return
	}
	for _, d := range file.Decls {
		for _, n := range declared(d) {
			n.File, n.Line = name, fset.Position(n.pos).Line
			p.Names = append(p.Names, n.Name)
		}
	}
}

// count counts what a file uses of other packages. A local variable that
// hides an import is taken for it: to know better takes a type checker.
func (p *Package) count(file *ast.File) {
	imports := map[string]string{}
	for _, i := range file.Imports {
		if local, path := importOf(i); path != "" {
			imports[local] = path
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || !sel.Sel.IsExported() {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && imports[x.Name] != "" {
			p.Uses[imports[x.Name]+"."+sel.Sel.Name]++
		}
		return true
	})
}

var version = regexp.MustCompile(`^v[0-9]+$`)

// importOf returns the name that a file has for an import: the one that it
// gives it, or what the path suggests.
func importOf(i *ast.ImportSpec) (local, full string) {
	full, err := strconv.Unquote(i.Path.Value)
	if err != nil {
		return "", ""
	}
	if i.Name != nil {
		return i.Name.Name, full
	}
	local = path.Base(full)
	if version.MatchString(local) && path.Dir(full) != "." {
		local = path.Base(path.Dir(full))
	}
	return local, full
}

type declaration struct {
	Name
	pos token.Pos
}

// declared returns the exported names of a declaration.
func declared(d ast.Decl) []declaration {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return function(d)
	case *ast.GenDecl:
		var all []declaration
		for _, s := range d.Specs {
			all = append(all, specified(s, d.Tok)...)
		}
		return all
	}
	return nil
}

func function(d *ast.FuncDecl) []declaration {
	if !d.Name.IsExported() {
		return nil
	}
	n := Name{Name: d.Name.Name, Kind: "func"}
	if d.Recv != nil {
		n.Kind, n.Receiver = "method", receiver(d.Recv)
		if !token.IsExported(n.Receiver) {
			return nil
		}
	}
	return []declaration{{n, d.Name.Pos()}}
}

// receiver returns the name of a method's type.
func receiver(list *ast.FieldList) string {
	if len(list.List) == 0 {
		return ""
	}
	for t := list.List[0].Type; ; {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.ParenExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return fmt.Sprintf("%T", t)
		}
	}
}

func specified(s ast.Spec, tok token.Token) []declaration {
	var idents []*ast.Ident
	switch s := s.(type) {
	case *ast.TypeSpec:
		idents = []*ast.Ident{s.Name}
	case *ast.ValueSpec:
		idents = s.Names
	}
	var all []declaration
	for _, id := range idents {
		if id.IsExported() {
			all = append(all, declaration{Name{Name: id.Name, Kind: tok.String()}, id.Pos()})
		}
	}
	return all
}
