// Package gunzip decompresses gzip streams (RFC 1952, RFC 1951), one after the
// other in one file too. It does nothing but that, for one case: images of a
// gigabyte, where the decoder is all the time that extraction takes. What makes it
// faster than decoders for any purpose is that it decodes into one buffer that
// holds the window, reads input eight bytes at a time, and checks limits once per
// symbol. Whatever it is given, it touches no memory but its own buffers: all of
// its accesses are checked by the language.
package gunzip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Errors of streams that are not right. A stream that ends too early is io.ErrUnexpectedEOF.
var (
	ErrHeader   = errors.New("gzip: not a gzip header")
	ErrChecksum = errors.New("gzip: the checksum or the size does not match the data")
	ErrCorrupt  = errors.New("gzip: the compressed data are corrupt")
)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// Sizes of the buffers, in bytes.
const (
	window  = 32 << 10  // how far back a match may reach (RFC 1951, 2)
	chunk   = 256 << 10 // decoded at a time
	maxCopy = 258       // longest match
	slack   = 16        // that a copy in words may write too much
	outSize = window + chunk + maxCopy + slack

	inSize = 256 << 10
	// most is the most input that the header of a block takes: it is there whole, or the input is at its end.
	most = 1 << 10
)

// state is what comes next in the input.
type state uint8

const (
	header  state = iota // of a gzip member; to: block
	block                // header of a block; to: stored, symbols
	stored               // bytes of a stored block; to: block, trailer
	symbols              // of a compressed block; to: block, trailer
	trailer              // of a member; to: header, or the end
)

// Reader decodes a stream. It is used by one goroutine.
type Reader struct {
	src   io.Reader
	in    []byte // in[pos:] is to be read; beyond end are zeros
	pos   int
	end   int
	atEnd bool // src has no more
	more  error

	bits  uint64 // the next input, from its lowest bit on
	count uint   // how many of bits are valid; above them is what is at in[pos:], or zeros

	out      []byte
	from, to int // out[from:to] is to be handed out
	first    int // where the member's data begin in out: nothing before it can be copied

	state  state
	last   bool // this block is
	left   int  // bytes of a stored block
	tables tables
	sum    uint32
	size   uint32
	summed int // out[:summed] is in sum
	err    error
}

// NewReader reads the first header.
func NewReader(src io.Reader) (*Reader, error) {
	r := &Reader{src: src, in: make([]byte, inSize+most), out: make([]byte, outSize), from: window, to: window, summed: window}
	if err := r.header(); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return r, nil
}

// Close implements io.Closer; there is nothing to free.
func (r *Reader) Close() error { return nil }

// Read implements io.Reader. Data are handed out before the checksum of all of
// them was seen; io.EOF says that it was right.
func (r *Reader) Read(p []byte) (int, error) {
	for r.from == r.to {
		if r.err != nil {
			return 0, r.err
		}
		r.decode()
	}
	n := copy(p, r.out[r.from:r.to])
	r.from += n
	return n, nil
}

// decode makes some data, or sets err.
func (r *Reader) decode() {
	if r.to >= window+chunk {
		r.slide()
	}
	for r.to < window+chunk && r.err == nil {
		r.err = r.step()
		if (r.err == nil || errors.Is(r.err, ErrCorrupt)) && r.consumed() > r.end {
			r.err = io.ErrUnexpectedEOF // the zeros beyond the end mean nothing
		}
	}
	if r.err == io.ErrUnexpectedEOF && r.more != nil {
		r.err = r.more
	}
	if r.err != nil && r.err != io.EOF {
		r.to = r.from // what was made of input that is not there
	}
	r.add()
}

// slide keeps the window of what was handed out.
func (r *Reader) slide() {
	moved := r.to - window
	copy(r.out, r.out[moved:r.to])
	r.from, r.to, r.summed = window, window, window
	r.first = max(r.first-moved, 0)
}

// add sums what was decoded since.
func (r *Reader) add() {
	if r.to > r.summed {
		r.sum = crc32.Update(r.sum, crc32.IEEETable, r.out[r.summed:r.to])
		r.size += uint32(r.to - r.summed)
		r.summed = r.to
	}
}

func (r *Reader) step() error {
	switch r.state {
	case header:
		return r.header()
	case block:
		return r.block()
	case stored:
		return r.stored()
	case symbols:
		return r.symbols()
	default:
		return r.trailer()
	}
}

// consumed is where the next bit is in the input.
func (r *Reader) consumed() int { return r.pos - int(r.count/8) }

// fill has most bytes of input at hand; at the end of the input they are zeros.
func (r *Reader) fill() {
	if r.atEnd || r.end-r.pos >= most {
		return
	}
	back := int(r.count / 8) // consumed reckons with what is in bits
	from := max(r.pos-back, 0)
	r.end = copy(r.in, r.in[from:r.end])
	r.pos -= from
	for r.end < most+8 && !r.atEnd {
		n, err := r.src.Read(r.in[r.end:inSize])
		r.end += n
		if err != nil {
			r.atEnd = true
			if err != io.EOF {
				r.more = err
			}
		}
	}
	clear(r.in[r.end:min(r.end+most, len(r.in))])
}

// refill has at least 56 bits at hand. There are 8 bytes at pos after fill, as
// long as not more than most-8 were taken since; at the very end there are zeros.
func (r *Reader) refill() {
	if r.pos+8 > len(r.in) {
		r.count = 63 // zeros beyond all padding: consumed will tell
		r.pos += 8
		return
	}
	r.bits |= binary.LittleEndian.Uint64(r.in[r.pos:]) << (r.count & 63)
	r.pos += int((63 - r.count) >> 3)
	r.count |= 56
}

// take takes up to 48 bits.
func (r *Reader) take(n uint) uint {
	if r.count < n {
		r.refill()
	}
	v := uint(r.bits & (1<<n - 1))
	r.bits >>= n
	r.count -= n
	return v
}

// align drops the bits up to the next byte of the input, and gives whole bytes back.
func (r *Reader) align() {
	r.pos -= int(r.count / 8)
	r.bits, r.count = 0, 0
}

// trailer checks a member's sums (RFC 1952, 2.3.1).
func (r *Reader) trailer() error {
	r.align()
	r.fill()
	if r.pos+8 > r.end {
		return io.ErrUnexpectedEOF
	}
	r.add()
	sum, size := binary.LittleEndian.Uint32(r.in[r.pos:]), binary.LittleEndian.Uint32(r.in[r.pos+4:])
	r.pos += 8
	if sum != r.sum || size != r.size {
		return ErrChecksum
	}
	r.state = header
	return nil
}
