package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/millrace-go/millrace/internal/pairs"
)

// A statement is one numbered line of docs/semantics.md.
type statement struct {
	id    string // section and number: "M3"
	title string // its first sentence
}

// A need is a statement that tests must cite, and the pairs they must run on.
type need struct {
	id    string
	pairs []string
}

// required are the statements that are carried out so far. Those of later
// parts join the list as they come.
var required = needs("M1-M11 F1-F10 T1-T4 R1-R6 C1-C2 N1-N4 H1-H2 L1-L6", pairs.Matching("*"),
	map[string][]string{
		"M11": pairs.Matching("*+*"),                                             // there is a broker to lose
		"L5":  append(pairs.Matching("sqlite*"), pairs.Matching("postgres*")...), // a caller's transaction is one of SQL
	})

// needs expands ranges of statements. Each is needed on pairs, or on those
// that except names for it.
func needs(ranges string, pairs []string, except map[string][]string) []need {
	var out []need
	for r := range strings.FieldsSeq(ranges) {
		for _, id := range expand(r) {
			n := need{id: id, pairs: pairs}
			if p, ok := except[id]; ok {
				n.pairs = p
			}
			out = append(out, n)
		}
	}
	return out
}

// expand lists the statements of a range such as M1-M10, or of a single M1.
func expand(r string) []string {
	first, last, ok := strings.Cut(r, "-")
	if !ok {
		return []string{first}
	}
	from, to := number(first), number(last)
	var ids []string
	for n := from; n <= to; n++ {
		ids = append(ids, fmt.Sprint(first[:1], n))
	}
	return ids
}

// number is the number behind a statement's section letter.
func number(id string) int {
	n, err := strconv.Atoi(id[1:])
	if err != nil {
		panic("not a statement: " + id)
	}
	return n
}

var statementLine = regexp.MustCompile(`^- ([A-Z][0-9]+) (.+)$`)

// parseStatements reads the list items of docs/semantics.md.
func parseStatements(text string) []statement {
	var out []statement
	for line := range strings.Lines(text) {
		if m := statementLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			out = append(out, statement{id: m[1], title: firstSentence(m[2])})
		}
	}
	return out
}

func firstSentence(s string) string {
	head, _, _ := strings.Cut(s, ". ")
	return strings.TrimSuffix(head, ".")
}
