package postgres

import (
	"database/sql/driver"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/lib/pq/oid"
)

// array is a parameter of an array type, built in the server's binary format,
// which costs the server less to read than text. An empty one is given as NULL:
// PL/pgSQL makes a memory context for each array that it is given. The zero
// array is empty; it is used again after reset.
type array struct {
	elem oid.Oid
	n    int
	null bool
	buf  []byte
}

// arrayHeader is one dimension from 1 on: dimensions, flags, type, size, base.
const arrayHeader = 20

func newArray(elem oid.Oid) *array {
	a := &array{elem: elem}
	a.reset()
	return a
}

func (a *array) reset() {
	a.n, a.null = 0, false
	if a.buf == nil {
		a.buf = make([]byte, arrayHeader, 256)
	}
	a.buf = a.buf[:arrayHeader]
}

func (a *array) integer(v int64) {
	a.n++
	switch a.elem {
	case oid.T_int2:
		a.buf = binary.BigEndian.AppendUint32(a.buf, 2)
		a.buf = binary.BigEndian.AppendUint16(a.buf, uint16(v))
	case oid.T_int4:
		a.buf = binary.BigEndian.AppendUint32(a.buf, 4)
		a.buf = binary.BigEndian.AppendUint32(a.buf, uint32(v))
	default:
		a.buf = binary.BigEndian.AppendUint32(a.buf, 8)
		a.buf = binary.BigEndian.AppendUint64(a.buf, uint64(v))
	}
}

func (a *array) text(s string) {
	a.n++
	a.buf = binary.BigEndian.AppendUint32(a.buf, uint32(len(s)))
	a.buf = append(a.buf, s...)
}

func (a *array) bytes(b []byte) {
	a.n++
	a.buf = binary.BigEndian.AppendUint32(a.buf, uint32(len(b)))
	a.buf = append(a.buf, b...)
}

func (a *array) body(row interface{ AppendBody([]byte) []byte }) {
	a.n++
	at := len(a.buf)
	a.buf = row.AppendBody(append(a.buf, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(a.buf[at:], uint32(len(a.buf)-at-4))
}

// add adds the elements of another array.
func (a *array) add(other *array) {
	a.n += other.n
	a.buf = append(a.buf, other.buf[arrayHeader:]...)
}

func (a *array) nothing() {
	a.n++
	a.null = true
	a.buf = binary.BigEndian.AppendUint32(a.buf, 0xffffffff)
}

// textOrNull keeps empty names out of indexes of names.
func (a *array) textOrNull(s string) {
	if s == "" {
		a.nothing()
		return
	}
	a.text(s)
}

// binary returns the array as the server reads it, nil for NULL. It is valid
// until the array is changed.
func (a *array) binary() driver.Value {
	if a.n == 0 {
		return nil
	}
	flags := uint32(0)
	if a.null {
		flags = 1
	}
	h := a.buf[:0]
	h = binary.BigEndian.AppendUint32(h, 1)
	h = binary.BigEndian.AppendUint32(h, flags)
	h = binary.BigEndian.AppendUint32(h, uint32(a.elem))
	h = binary.BigEndian.AppendUint32(h, uint32(a.n))
	binary.BigEndian.AppendUint32(h, 1)
	return a.buf
}

// literal returns the array as text, nil for NULL, for connections that are not
// our own.
func (a *array) literal() any {
	if a.n == 0 {
		return nil
	}
	var out strings.Builder
	out.WriteByte('{')
	for i, rest := 0, a.buf[arrayHeader:]; i < a.n; i++ {
		if i > 0 {
			out.WriteByte(',')
		}
		size := int32(binary.BigEndian.Uint32(rest))
		rest = rest[4:]
		if size < 0 {
			out.WriteString("NULL")
			continue
		}
		a.element(&out, rest[:size])
		rest = rest[size:]
	}
	out.WriteByte('}')
	return out.String()
}

var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func (a *array) element(out *strings.Builder, v []byte) {
	switch a.elem {
	case oid.T_int2:
		out.WriteString(strconv.Itoa(int(int16(binary.BigEndian.Uint16(v)))))
	case oid.T_int4:
		out.WriteString(strconv.Itoa(int(int32(binary.BigEndian.Uint32(v)))))
	case oid.T_int8:
		out.WriteString(strconv.FormatInt(int64(binary.BigEndian.Uint64(v)), 10))
	case oid.T_bytea:
		out.WriteString(`"\\x` + hex.EncodeToString(v) + `"`)
	default:
		out.WriteString(`"` + quoted.Replace(string(v)) + `"`)
	}
}

// integers makes an array of numbers.
func integers(list []int64) *array {
	a := newArray(oid.T_int8)
	for _, v := range list {
		a.integer(v)
	}
	return a
}

// texts makes an array of texts.
func texts(list []string) *array {
	a := newArray(oid.T_text)
	for _, s := range list {
		a.text(s)
	}
	return a
}
