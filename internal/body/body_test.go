package body

import (
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type item struct {
	Name string `cbor:"1,keyasint"`
	Data []byte `cbor:"2,keyasint,omitempty"`
}

type row struct {
	Number int64    `cbor:"1,keyasint,omitempty"`
	Is     bool     `cbor:"2,keyasint,omitempty"`
	Text   string   `cbor:"3,keyasint,omitempty"`
	Bytes  []byte   `cbor:"4,keyasint,omitempty"`
	Texts  []string `cbor:"5,keyasint,omitempty"`
	Items  []item   `cbor:"6,keyasint,omitempty"`
	Kind   string   `cbor:"23,keyasint"`
	At     int64    `cbor:"24,keyasint"`
	High   int64    `cbor:"255,keyasint,omitempty"`

	Map map[string]string `cbor:"7,keyasint,omitempty"`
}

func (r *row) appendTo(b []byte) []byte {
	w := Begin(b)
	w.Int(1, r.Number)
	w.Bool(2, r.Is)
	w.Text(3, r.Text)
	w.Bytes(4, r.Bytes)
	w.Texts(5, r.Texts)
	if len(r.Items) > 0 {
		w.List(6, len(r.Items))
		for _, i := range r.Items {
			one := w.Item()
			one.AlwaysText(1, i.Name)
			one.Bytes(2, i.Data)
			w.Put(&one)
		}
	}
	w.AlwaysText(23, r.Kind)
	w.Always(24, r.At)
	w.Int(255, r.High)
	w.Strings(7, r.Map)
	return w.End()
}

// What is written is byte for byte what the library writes, behind what was
// there.
func TestAsTheLibrary(t *testing.T) {
	mode, err := cbor.EncOptions{Sort: cbor.SortNone}.EncMode()
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.Make[row]().Draw(t, "row")
		if len(r.Map) > 1 { // in any order
			for k := range r.Map {
				r.Map = map[string]string{k: r.Map[k]}
				break
			}
		}
		r.Text += string(make([]byte, rapid.SampledFrom([]int{0, 255, 256, 65535, 65536}).Draw(t, "more")))
		want, err := mode.Marshal(&r)
		require.NoError(t, err)
		require.Equal(t, append([]byte("before"), want...), r.appendTo([]byte("before")))
	})
}

// A map of more than 23 pairs has a longer head.
func TestManyPairs(t *testing.T) {
	for _, n := range []int{0, 23, 24, 200} {
		w := Begin([]byte{1, 2})
		want := map[uint8]int64{}
		for i := range n {
			w.Always(uint8(i), int64(-i))
			want[uint8(i)] = int64(-i)
		}
		b := w.End()
		require.Equal(t, []byte{1, 2}, b[:2])
		got := map[uint8]int64{}
		require.NoError(t, cbor.Unmarshal(b[2:], &got))
		require.Equal(t, want, got)
	}
}

func BenchmarkAppend(b *testing.B) {
	r := row{Number: 1 << 40, Text: "0123456789abcdef", Bytes: make([]byte, 200), Kind: "step", At: 1 << 50}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = r.appendTo(buf[:0])
	}
}

func BenchmarkLibrary(b *testing.B) {
	r := row{Number: 1 << 40, Text: "0123456789abcdef", Bytes: make([]byte, 200), Kind: "step", At: 1 << 50}
	mode, err := cbor.EncOptions{Sort: cbor.SortNone}.EncMode()
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mode.Marshal(&r); err != nil {
			b.Fatal(err)
		}
	}
}
