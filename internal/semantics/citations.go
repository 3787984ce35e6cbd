package main

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
)

var (
	citationLine  = regexp.MustCompile(`^([A-Z][0-9]+(?:[, ]+[A-Z][0-9]+)*)(?:[:.].*)?$`)
	citationStart = regexp.MustCompile(`^[A-Z][0-9]+\b`)
	statementID   = regexp.MustCompile(`[A-Z][0-9]+`)
)

// Directives name pairs by patterns, or stores whose own pair is meant.
const (
	ofPairs  = "//semantics:pairs "
	ofStores = "//semantics:stores "
)

// cited returns the statements that a line of a comment cites: it begins with
// them, and nothing or a colon or full stop follows.
func cited(line string) []string {
	m := citationLine.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	return statementID.FindAllString(m[1], -1)
}

// pairsOf returns the pairs that a directive in the comment names.
func (c *citer) pairsOf(g *ast.CommentGroup) (names []string) {
	for _, line := range g.List {
		patterns, ok := strings.CutPrefix(line.Text, ofPairs)
		if !ok {
			patterns, ok = strings.CutPrefix(line.Text, ofStores)
		}
		if !ok {
			continue
		}
		for p := range strings.FieldsSeq(patterns) {
			matching := c.src.matching(p)
			if matching == nil {
				c.fault(g, "there is no pair "+p)
			}
			names = append(names, matching...)
		}
		return names
	}
	return nil
}

// lines returns the text of a comment, line by line, without its markers and
// without directives.
func lines(g *ast.CommentGroup) []string {
	var out []string
	for l := range strings.Lines(g.Text()) {
		out = append(out, strings.TrimSpace(l))
	}
	return out
}

// A citer reads the citations of one file.
type citer struct {
	src  *source
	home []*decl   // the file's declarations
	subs []subtest // its subtests, in source order: outer ones first
}

// A subtest is a call of t.Run with a literal name.
type subtest struct {
	name     string
	from, to token.Pos
}

// read attributes the citations and directives of the file's comments.
func (c *citer) read(comments []*ast.CommentGroup) {
	for _, g := range comments {
		d := c.declOf(g)
		if p := c.pairsOf(g); p != nil {
			c.announce(d, p)
		}
		c.cite(d, g)
	}
}

// announce notes the pairs that a directive names: of one declaration, or,
// outside of all, of those of the file that have no directive themselves.
func (c *citer) announce(d *decl, pairs []string) {
	if d != nil {
		d.pairs = pairs
		return
	}
	for _, d := range c.home {
		if d.pairs == nil {
			d.pairs = pairs
		}
	}
}

func (c *citer) cite(d *decl, g *ast.CommentGroup) {
	for i, line := range lines(g) {
		ids := cited(line)
		if i == 0 && ids == nil && c.src.known(citationStart.FindString(line)) {
			c.fault(g, "not a citation, since words follow the number: write \"// M3\" or \"// M3: words\"")
		}
		for _, id := range ids {
			c.citeOne(d, g, id)
		}
	}
}

func (c *citer) citeOne(d *decl, g *ast.CommentGroup, id string) {
	switch {
	case !c.src.section(id): // some other number, such as P1
	case !c.src.known(id):
		c.fault(g, "there is no statement "+id)
	case d == nil:
		c.fault(g, id+" is cited outside of any test or case")
	default:
		d.cite(citation{id: id, sub: c.subOf(g), pos: c.src.pos(g.Pos())})
	}
}

func (c *citer) fault(g *ast.CommentGroup, what string) {
	c.src.faults = append(c.src.faults, c.src.pos(g.Pos())+": "+what)
}

// declOf returns the declaration that the comment stands on or in.
func (c *citer) declOf(g *ast.CommentGroup) *decl {
	for _, d := range c.home {
		if d.from <= g.Pos() && g.End() <= d.to {
			return d
		}
	}
	return nil
}

// subOf returns the name of the innermost subtest that the comment stands in,
// or on: in the lines right above it.
func (c *citer) subOf(g *ast.CommentGroup) string {
	name := ""
	below := c.src.line(g.End()) + 1
	for _, s := range c.subs {
		in := s.from <= g.Pos() && g.End() <= s.to
		if in || below == c.src.line(s.from) {
			name = s.name
		}
	}
	return name
}
