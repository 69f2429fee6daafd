package gunzip

import (
	"hash/crc32"
	"io"
)

// Flags of a member's header (RFC 1952, 2.3.1).
const (
	hasSum     = 1 << 1
	hasExtra   = 1 << 2
	hasName    = 1 << 3
	hasComment = 1 << 4
	fixedSize  = 10
)

// header reads the header of a member; io.EOF says that there is none.
func (r *Reader) header() error {
	r.fill()
	if r.pos >= r.end {
		if r.more != nil {
			return r.more
		}
		return io.EOF
	}
	h := headerReader{r: r}
	fixed := [fixedSize]byte{}
	for i := range fixed {
		fixed[i] = h.next()
	}
	if h.err == nil && (fixed[0] != 0x1f || fixed[1] != 0x8b || fixed[2] != 8) { // flags that mean nothing yet are let pass, as elsewhere in Go
		return ErrHeader
	}
	flags := fixed[3]
	if flags&hasExtra != 0 {
		n := int(h.next())
		n |= int(h.next()) << 8
		for ; n > 0 && h.err == nil; n-- {
			h.next()
		}
	}
	for _, text := range [...]byte{hasName, hasComment} {
		for flags&text != 0 && h.err == nil && h.next() != 0 {
		}
	}
	if flags&hasSum != 0 {
		want := uint16(h.sum)
		got := uint16(h.next())
		got |= uint16(h.next()) << 8
		if h.err == nil && got != want {
			return ErrHeader
		}
	}
	r.state, r.sum, r.size = block, 0, 0
	r.summed, r.first = r.to, r.to
	return h.err
}

// headerReader reads byte by byte, and sums them.
type headerReader struct {
	r   *Reader
	sum uint32
	one [1]byte
	err error
}

func (h *headerReader) next() byte {
	r := h.r
	if r.pos >= r.end {
		r.fill()
	}
	if r.pos >= r.end {
		h.err = io.ErrUnexpectedEOF
		if r.more != nil {
			h.err = r.more
		}
		return 0
	}
	h.one[0] = r.in[r.pos]
	r.pos++
	h.sum = crc32.Update(h.sum, crc32.IEEETable, h.one[:])
	return h.one[0]
}
