package extfs

import "kadeploy/proto/image/blocks"

// bitmap says which blocks are in use.
type bitmap struct {
	bits  []byte
	count uint64
}

func newBitmap(n uint64) bitmap { return bitmap{make([]byte, (n+7)/8), n} }

func (b bitmap) set(i uint64)      { b.bits[i/8] |= 1 << (i % 8) }
func (b bitmap) unset(i uint64)    { b.bits[i/8] &^= 1 << (i % 8) }
func (b bitmap) has(i uint64) bool { return b.bits[i/8]&(1<<(i%8)) != 0 }

func (b bitmap) setRange(from, to uint64) {
	for i := from; i < to; i++ {
		b.set(i)
	}
}

func (b bitmap) free() (n uint64) {
	for i := range b.count {
		if !b.has(i) {
			n++
		}
	}
	return n
}

// take finds up to n free blocks in a row, the first that there are, and takes them.
func (v *volume) take(n uint64) (from, to uint64, ok bool) {
	for v.cursor < v.blocks && v.space.has(v.cursor) {
		v.cursor++
	}
	from = v.cursor
	for to = from; to < v.blocks && to-from < n && !v.space.has(to); to++ {
		v.space.set(to)
		v.groups[(to-v.first)/v.perGroup].touched = true
	}
	v.cursor = to
	return from, to, to > from
}

// takeOne takes one block.
func (v *volume) takeOne() (uint64, error) {
	from, _, ok := v.take(1)
	if !ok {
		return 0, errFull
	}
	return from, nil
}

func (b bitmap) unsetRange(from, to uint64) {
	for i := from; i < to; i++ {
		b.unset(i)
	}
}

// ranges are the blocks in use.
func (b bitmap) ranges() (list []blocks.Range) {
	for i := range b.count {
		if !b.has(i) {
			continue
		}
		if n := len(list); n > 0 && list[n-1].Start+list[n-1].Count == i {
			list[n-1].Count++
		} else {
			list = append(list, blocks.Range{Start: i, Count: 1})
		}
	}
	return list
}
