package step

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"

	"github.com/millrace-go/millrace/store"
)

// crockford is Crockford's base32: ids sort as their times do, and none of
// its characters is mistaken for another.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

const (
	prefixLen = 10 // characters: 48 bits of milliseconds, as in a ULID
	hashLen   = 22 // characters: 110 bits
)

// prefix writes the milliseconds of t.
func prefix(t store.Instant) string {
	var b [8]byte
	// 48 bits in 50: two leading zero bits, as in a ULID.
	binary.BigEndian.PutUint64(b[:], uint64(t/1000)<<14)
	var out [16]byte
	crockford.Encode(out[:13], b[:])
	return string(out[:prefixLen])
}

// RootID derives the id of a run's first message.
func RootID(runID string, started store.Instant) string {
	return join(prefix(started), "root", runID, 0)
}

// ChildID derives the id of the n-th thing that a message, or join, brings
// forth. It begins as its parent's does, with the time of the run.
func ChildID(parent string, n int) string {
	pre := parent
	if len(pre) > prefixLen {
		pre = pre[:prefixLen]
	}
	return join(pre, "child", parent, n)
}

func join(pre, label, of string, n int) string {
	buf := make([]byte, 0, 96)
	buf = append(buf, label...)
	buf = append(buf, 0)
	buf = append(buf, of...)
	buf = append(buf, 0)
	buf = binary.AppendUvarint(buf, uint64(n))
	sum := sha256.Sum256(buf)
	var out [prefixLen + 24]byte
	copy(out[:], pre)
	crockford.Encode(out[len(pre):len(pre)+24], sum[:15])
	return string(out[:len(pre)+hashLen])
}

// NewID makes an id that begins with the time t and ends at random.
func NewID(t store.Instant) string {
	var b [14]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails
	var out [23]byte
	crockford.Encode(out[:], b[:])
	return prefix(t) + string(out[:hashLen])
}
