// Package correlation is about the values of a document: those that find a
// stateful saga, a waiting continuation, a callback. It is pure.
package correlation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ErrEmpty says that a message has no correlation value.
var ErrEmpty = errors.New("correlation value is empty")

// Key returns the exclusive key of the instance of a stateful saga that value
// belongs to. It is also the id of the instance's run.
func Key(saga, value string) (string, error) {
	if value == "" {
		return "", fmt.Errorf("saga %s: %w", saga, ErrEmpty)
	}
	return saga + "/" + value, nil
}

// Value is a scalar of a document and where it stands.
type Value struct {
	Path string // names and positions joined by dots: "order.items.0.id"
	Text string // strings as they are; numbers, true and false as in JSON
}

// maxDepth bounds how deeply a document may nest.
const maxDepth = 64

// Values lists the scalars of a JSON document in its own order. null is none.
func Values(doc []byte) ([]Value, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var out []Value
	if err := walk(dec, nil, &out); err != nil {
		return nil, fmt.Errorf("correlation values: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("correlation values: more than one document")
	}
	return out, nil
}

func walk(dec *json.Decoder, path []string, out *[]Value) error {
	if len(path) > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	add := func(text string) { *out = append(*out, Value{strings.Join(path, "."), text}) }
	switch t := tok.(type) {
	case json.Delim:
		return walkInside(dec, t, path, out)
	case string:
		add(t)
	case json.Number:
		add(t.String())
	case bool:
		add(strconv.FormatBool(t))
	}
	return nil
}

func walkInside(dec *json.Decoder, open json.Delim, path []string, out *[]Value) error {
	for i := 0; dec.More(); i++ {
		name := strconv.Itoa(i)
		if open == '{' {
			tok, err := dec.Token()
			if err != nil {
				return err
			}
			name, _ = tok.(string)
		}
		if err := walk(dec, append(path[:len(path):len(path)], name), out); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// Telling reports whether a value says enough to match by itself, with no
// path named: at least six characters, no boolean, no small number.
func Telling(text string) bool {
	return len([]rune(text)) >= 6 && text != "false"
}
