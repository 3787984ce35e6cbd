// Package body writes the bodies of rows that each step writes: CBOR maps
// (RFC 8949) with small integer keys, by appending. A library does it by
// reflection for all other rows, and reads these too; what is written here is
// what it would write, in a fifth of the time and without garbage.
package body

import "encoding/binary"

// Map is a CBOR map that is being written behind what its buffer has. Fields
// that are zero are left out. The zero Map is not usable; [Begin] makes one.
type Map struct {
	b     []byte
	head  int // where the map begins
	pairs int
}

// Major types of CBOR.
const (
	unsigned = 0 << 5
	negative = 1 << 5
	bytes    = 2 << 5
	text     = 3 << 5
	array    = 4 << 5
	pairs    = 5 << 5

	yes = 0xf5
)

// Begin begins a map behind b, which may be nil.
func Begin(b []byte) Map { return Map{b: append(b, pairs), head: len(b)} }

// End returns what the map's buffer had, and the map.
func (m *Map) End() []byte {
	if m.pairs < 24 {
		m.b[m.head] = pairs | byte(m.pairs)
		return m.b
	}
	var head [9]byte
	long := appendHead(head[:0], pairs, uint64(m.pairs))
	m.b = append(m.b, long[1:]...)
	copy(m.b[m.head+len(long):], m.b[m.head+1:])
	copy(m.b[m.head:], long)
	return m.b
}

// appendHead appends a type and its number, in as few bytes as can be.
func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

func (m *Map) key(key uint8) {
	m.pairs++
	m.b = appendHead(m.b, unsigned, uint64(key))
}

// Int adds a whole number.
func (m *Map) Int(key uint8, n int64) {
	if n != 0 {
		m.Always(key, n)
	}
}

// Always adds a whole number even if it is 0.
func (m *Map) Always(key uint8, n int64) {
	m.key(key)
	if n < 0 {
		m.b = appendHead(m.b, negative, uint64(^n))
		return
	}
	m.b = appendHead(m.b, unsigned, uint64(n))
}

// Bool adds true.
func (m *Map) Bool(key uint8, is bool) {
	if is {
		m.key(key)
		m.b = append(m.b, yes)
	}
}

// Text adds a string.
func (m *Map) Text(key uint8, s string) {
	if s != "" {
		m.AlwaysText(key, s)
	}
}

// AlwaysText adds a string even if it is empty.
func (m *Map) AlwaysText(key uint8, s string) {
	m.key(key)
	m.text(s)
}

func (m *Map) text(s string) { m.b = append(appendHead(m.b, text, uint64(len(s))), s...) }

// Bytes adds bytes.
func (m *Map) Bytes(key uint8, p []byte) {
	if len(p) > 0 {
		m.key(key)
		m.b = append(appendHead(m.b, bytes, uint64(len(p))), p...)
	}
}

// Texts adds a list of strings.
func (m *Map) Texts(key uint8, list []string) {
	if len(list) == 0 {
		return
	}
	m.key(key)
	m.b = appendHead(m.b, array, uint64(len(list)))
	for _, s := range list {
		m.text(s)
	}
}

// Strings adds a map from strings to strings, in any order.
func (m *Map) Strings(key uint8, all map[string]string) {
	if len(all) == 0 {
		return
	}
	m.key(key)
	m.b = appendHead(m.b, pairs, uint64(len(all)))
	for k, v := range all {
		m.text(k)
		m.text(v)
	}
}

// List adds a list of n maps: each begins with Item and ends with Put.
func (m *Map) List(key uint8, n int) {
	m.key(key)
	m.b = appendHead(m.b, array, uint64(n))
}

// Item begins a map of a list.
func (m *Map) Item() Map { return Begin(m.b) }

// Put ends a map of a list.
func (m *Map) Put(item *Map) { m.b = item.End() }
