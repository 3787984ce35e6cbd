package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/millrace-go/millrace/store"
)

// document prints v as one JSON document.
func (s *session) document(v any) error {
	enc := json.NewEncoder(s.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// line prints v as one line of JSON.
func (s *session) line(v any) error {
	enc := json.NewEncoder(s.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table prints columns for people; its rows are seen once it is flushed.
type table struct{ w *tabwriter.Writer }

func newTable(out io.Writer, head ...string) *table {
	t := &table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	fmt.Fprintln(t.w, strings.Join(head, "\t"))
	return t
}

func (t *table) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = clean(fmt.Sprint(c))
		if texts[i] == "" {
			texts[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(texts, "\t"))
}

func (t *table) flush() error { return t.w.Flush() }

// clean makes text fit for one line of a terminal: names, payloads and errors
// may hold anything.
func clean(text string) string {
	if strings.IndexFunc(text, unfit) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case unfit(r):
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unfit(r rune) bool { return !unicode.IsPrint(r) }

// clip cuts a text to n characters.
func clip(text string, n int) string {
	text = clean(text)
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}

// block prints a text of several lines, indented.
func block(out io.Writer, text string) {
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		fmt.Fprintln(out, "    "+clean(strings.ReplaceAll(line, "\t", "  ")))
	}
}

// shown is data for people: as it is if it is text, and else in base64.
func shown(data []byte) string {
	switch {
	case len(data) == 0:
		return "(empty)"
	case !utf8.Valid(data):
		return fmt.Sprintf("(%d bytes, base64) %s", len(data), base64.StdEncoding.EncodeToString(data))
	}
	return string(data)
}

// split gives data for programs: JSON as it is, and else bytes, which are
// written in base64.
func split(data []byte) (json.RawMessage, []byte) {
	if json.Valid(data) && utf8.Valid(data) {
		return data, nil
	}
	return nil, data
}

// moment is a time for people, to the second.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// instant is a time of the store's that may be missing.
func instant(i store.Instant) time.Time {
	if i == 0 || i == store.Never {
		return time.Time{}
	}
	return i.Time()
}

// away tells how far t is from now, to the minute.
func away(t, now time.Time) string {
	d := t.Sub(now)
	if d < time.Minute {
		return "in " + max(d, 0).Round(time.Second).String()
	}
	return "in " + strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}
