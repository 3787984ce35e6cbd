package correlation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/correlation"
)

func TestValues(t *testing.T) {
	for doc, want := range map[string]string{
		`{"order":{"id":"A-1","items":[{"n":1.50},null,true]},"e":"é\n"}`: `[{order.id A-1} {order.items.0.n 1.50} {order.items.2 true} {e é` + "\n}]",
		`"x"`:    `[{ x}]`,
		`12e400`: `[{ 12e400}]`,
		`[]`:     `[]`,
		`{}`:     `[]`,
		` [1] `:  `[{0 1}]`,
	} {
		got, err := correlation.Values([]byte(doc))
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v; want %s", doc, got, err, want)
		}
	}
}

func TestValuesOfWhatIsNoDocument(t *testing.T) {
	// M6
	for _, doc := range []string{
		"", " ", "{", "[1", `{"a"}`, `{"a":}`, "1 2", "1 ]", "{} }", "[] []", "nope", `{"a":1,}`, "\x00",
		strings.Repeat("[", 100) + strings.Repeat("]", 100),
	} {
		if got, err := correlation.Values([]byte(doc)); err == nil {
			t.Errorf("%q: %v", doc, got)
		}
	}
}

func TestKey(t *testing.T) {
	// C2
	a, err := correlation.Key("s/order", "42")
	if err != nil || a != "s/order/42" {
		t.Fatalf("%q, %v", a, err)
	}
	if _, err := correlation.Key("s/order", ""); !errors.Is(err, correlation.ErrEmpty) {
		t.Fatal(err)
	}
}

func TestTelling(t *testing.T) {
	for text, want := range map[string]bool{"12345": false, "false": false, "true": false, "éééééé": true, "ééééé": false, "A-1000": true} {
		if correlation.Telling(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

// Values are found in exactly what is a JSON document, and never panic.
func FuzzValues(f *testing.F) {
	for _, doc := range []string{`{"a":{"b":[1,"x",null,false]}}`, `[[[]]]`, `1 ]`, `"\ud800"`, `{"a":1,"a":2}`} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := correlation.Values(doc)
		if valid := json.Valid(doc); (err == nil) != valid && depth(doc) < 60 {
			t.Fatalf("%q: error %v, valid %v", doc, err, valid)
		}
		if len(got) > len(doc) {
			t.Fatalf("%d values in %d bytes", len(got), len(doc))
		}
	})
}

func depth(doc []byte) int { return strings.Count(string(doc), "[") + strings.Count(string(doc), "{") }
