package memory

import (
	"iter"
	"math"
	"math/bits"

	"github.com/tidwall/btree"
)

// table keeps rows by number, in order. Numbers are given in sequence, so
// neighbours share a block: only one put in blockSize touches the ordered
// tree, the others a map of blocks.
type table[T any] struct {
	blocks map[int64]*block[T]
	order  btree.Map[int64, *block[T]]
	spare  *block[T]
}

const (
	blockShift = 6
	blockSize  = 1 << blockShift
	blockMask  = blockSize - 1
)

type block[T any] struct {
	used uint64 // bit i: rows[i] is there
	rows [blockSize]*T
}

func newTable[T any]() table[T] { return table[T]{blocks: map[int64]*block[T]{}} }

// get returns the row, or nil.
func (t *table[T]) get(key int64) *T {
	if b := t.blocks[key>>blockShift]; b != nil {
		return b.rows[key&blockMask]
	}
	return nil
}

// put inserts or replaces. Replacing is allowed while iterating.
func (t *table[T]) put(key int64, row *T) {
	b := t.blocks[key>>blockShift]
	if b == nil {
		b = t.grow(key >> blockShift)
	}
	b.used |= 1 << (key & blockMask)
	b.rows[key&blockMask] = row
}

func (t *table[T]) grow(number int64) *block[T] {
	b := t.spare
	t.spare = nil
	if b == nil {
		b = new(block[T])
	}
	t.blocks[number] = b
	t.order.Set(number, b)
	return b
}

func (t *table[T]) delete(key int64) {
	b := t.blocks[key>>blockShift]
	if b == nil {
		return
	}
	b.used &^= 1 << (key & blockMask)
	b.rows[key&blockMask] = nil
	if b.used == 0 {
		delete(t.blocks, key>>blockShift)
		t.order.Delete(key >> blockShift)
		t.spare = b
	}
}

// after gives the rows behind key, ascending.
func (t *table[T]) after(key int64) iter.Seq2[int64, *T] {
	return func(yield func(int64, *T) bool) {
		if key == math.MaxInt64 {
			return
		}
		first := key + 1
		t.order.Ascend(first>>blockShift, func(number int64, b *block[T]) bool {
			used := b.used
			if number == first>>blockShift {
				used &= ^uint64(0) << (first & blockMask)
			}
			for ; used != 0; used &= used - 1 {
				i := bits.TrailingZeros64(used)
				if !yield(number<<blockShift|int64(i), b.rows[i]) {
					return false
				}
			}
			return true
		})
	}
}

// before gives the rows before key, descending; all of them for key 0.
func (t *table[T]) before(key int64) iter.Seq2[int64, *T] {
	if key == 0 {
		key = math.MaxInt64
	}
	return func(yield func(int64, *T) bool) {
		last := key - 1
		t.order.Descend(last>>blockShift, func(number int64, b *block[T]) bool {
			used := b.used
			if number == last>>blockShift {
				used &= ^uint64(0) >> (blockMask - last&blockMask)
			}
			for used != 0 {
				i := bits.Len64(used) - 1
				used &^= 1 << i
				if !yield(number<<blockShift|int64(i), b.rows[i]) {
					return false
				}
			}
			return true
		})
	}
}
