// Package blocks is a file system as a stream of those blocks that matter, with
// their places (SPEC.md): how its header is written and read, which bytes of the
// stream belong where on a disk, and how the stream is made of a file system in a
// file. It knows nothing of what the blocks hold; compression is package frames'.
package blocks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"sort"
)

// Limits and values of the format.
const (
	Version    = 1
	Align      = 4096 // of the data in the stream
	MaxExtents = 1 << 20

	mark       = "KDPLBLKS"
	headerSize = 80
	extentSize = 16
	sumAt      = 76
	maxBlocks  = 1 << 40
	minBlock   = 1 << 10
	maxBlock   = 64 << 10
)

// ErrCorrupt is wrapped by every error about what a stream says.
var ErrCorrupt = errors.New("the blocks of the image are corrupt")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// Extent is a range of blocks that matter.
type Extent struct {
	Start uint64 // block of the file system
	Count uint32
	Zero  bool // reads as zeros, and is not in the stream
}

// Header is what a stream says before its data.
type Header struct {
	BlockSize int    // bytes
	Blocks    uint64 // of the file system
	UUID      [16]byte
	Features  [3]uint32 // compatible, incompatible, read-only compatible
	Extents   []Extent

	starts []int64 // of each data extent in the data, in bytes; and the end
	data   []Extent
}

// Size is that of the file system, in bytes: a disk must have as many.
func (h *Header) Size() int64 { return int64(h.Blocks) * int64(h.BlockSize) }

// DataOffset is where the data begin in the stream, in bytes.
func (h *Header) DataOffset() int64 { return dataOffset(len(h.Extents)) }

// DataSize is how many bytes of data the stream has.
func (h *Header) DataSize() int64 { return h.starts[len(h.data)] }

func dataOffset(extents int) int64 {
	return (headerSize + extentSize*int64(extents) + Align - 1) / Align * Align
}

// complete checks the header's words and works out where data are in the stream.
func (h *Header) complete() error {
	switch {
	case h.BlockSize < minBlock || h.BlockSize > maxBlock || h.BlockSize&(h.BlockSize-1) != 0:
		return corrupt("block size %d is not a power of two from %d to %d", h.BlockSize, minBlock, maxBlock)
	case h.Blocks < 1 || h.Blocks > maxBlocks:
		return corrupt("%d blocks are not from 1 to %d", h.Blocks, int64(maxBlocks))
	case len(h.Extents) < 1 || len(h.Extents) > MaxExtents:
		return corrupt("%d extents are not from 1 to %d", len(h.Extents), MaxExtents)
	}
	h.data, h.starts = nil, []int64{0}
	var end uint64
	for i, e := range h.Extents {
		if e.Count == 0 || e.Start < end || e.Start >= h.Blocks || uint64(e.Count) > h.Blocks-e.Start {
			return corrupt("extent %d (%d blocks from %d on) is empty, not in order, or beyond the end", i, e.Count, e.Start)
		}
		end = e.Start + uint64(e.Count)
		if !e.Zero {
			h.data = append(h.data, e)
			h.starts = append(h.starts, h.starts[len(h.starts)-1]+int64(e.Count)*int64(h.BlockSize))
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns all that stands before the data.
func (h *Header) Encode() ([]byte, error) {
	if err := h.complete(); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	b := make([]byte, h.DataOffset())
	copy(b, mark)
	le.PutUint16(b[8:], Version)
	le.PutUint32(b[12:], uint32(h.BlockSize))
	le.PutUint64(b[16:], h.Blocks)
	le.PutUint64(b[24:], uint64(h.DataSize()/int64(h.BlockSize)))
	le.PutUint32(b[32:], uint32(len(h.Extents)))
	le.PutUint32(b[36:], uint32(h.DataOffset()))
	copy(b[40:], h.UUID[:])
	for i, f := range h.Features {
		le.PutUint32(b[56+4*i:], f)
	}
	for i, e := range h.Extents {
		p := b[headerSize+extentSize*i:]
		le.PutUint64(p, e.Start)
		le.PutUint32(p[8:], e.Count)
		if e.Zero {
			le.PutUint32(p[12:], 1)
		}
	}
	le.PutUint32(b[sumAt:], crc32.Checksum(b, castagnoli))
	return b, nil
}

// ReadHeader reads what stands before the data, and nothing after it. Errors wrap ErrCorrupt or are r's.
func ReadHeader(r io.Reader) (*Header, error) {
	le := binary.LittleEndian
	b := make([]byte, headerSize)
	if err := readFull(r, b); err != nil {
		return nil, err
	}
	n := le.Uint32(b[32:])
	switch {
	case string(b[:8]) != mark:
		return nil, corrupt("no mark at the start")
	case le.Uint16(b[8:]) != Version:
		return nil, corrupt("version %d is not %d", le.Uint16(b[8:]), Version)
	case n < 1 || n > MaxExtents || int64(le.Uint32(b[36:])) != dataOffset(int(n)):
		return nil, corrupt("%d extents and data at %d do not go together", n, le.Uint32(b[36:]))
	}
	b = append(b, make([]byte, dataOffset(int(n))-headerSize)...)
	if err := readFull(r, b[headerSize:]); err != nil {
		return nil, err
	}
	sum := le.Uint32(b[sumAt:])
	clear(b[sumAt : sumAt+4])
	if crc32.Checksum(b, castagnoli) != sum {
		return nil, corrupt("the header's checksum is wrong")
	}
	h := &Header{BlockSize: int(le.Uint32(b[12:])), Blocks: le.Uint64(b[16:]), UUID: [16]byte(b[40:56])}
	for i := range h.Features {
		h.Features[i] = le.Uint32(b[56+4*i:])
	}
	end := headerSize + extentSize*int(n)
	for p := b[headerSize:end]; len(p) > 0; p = p[extentSize:] {
		if le.Uint32(p[12:]) > 1 {
			return nil, corrupt("an extent of kind %d", le.Uint32(p[12:]))
		}
		h.Extents = append(h.Extents, Extent{le.Uint64(p), le.Uint32(p[8:]), le.Uint32(p[12:]) == 1})
	}
	if err := h.complete(); err != nil {
		return nil, err
	}
	if le.Uint16(b[10:]) != 0 || le.Uint64(b[68:]) != 0 || len(bytes.TrimLeft(b[end:], "\x00")) > 0 ||
		le.Uint64(b[24:]) != uint64(h.DataSize()/int64(h.BlockSize)) {
		return nil, corrupt("reserved bytes are not zeros, or the sum of the extents is wrong")
	}
	return h, nil
}

func readFull(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return corrupt("the stream ends within its header")
	}
	return err
}

// Place is where a piece of the data belongs.
type Place struct {
	Offset int64 // on the disk, in bytes
	Size   int64
}

// Places yields where size bytes of the data, from byte off of them on, belong, in their order.
func (h *Header) Places(off, size int64) iter.Seq[Place] {
	return func(yield func(Place) bool) {
		end := min(off+size, h.DataSize())
		i := sort.Search(len(h.data), func(i int) bool { return h.starts[i+1] > off })
		for ; off < end; i++ {
			n := min(end, h.starts[i+1]) - off
			at := int64(h.data[i].Start)*int64(h.BlockSize) + off - h.starts[i]
			if !yield(Place{at, n}) {
				return
			}
			off += n
		}
	}
}

// Zeros yields where zeros belong.
func (h *Header) Zeros() iter.Seq[Place] {
	return func(yield func(Place) bool) {
		for _, e := range h.Extents {
			if e.Zero && !yield(Place{int64(e.Start) * int64(h.BlockSize), int64(e.Count) * int64(h.BlockSize)}) {
				return
			}
		}
	}
}
