package blocks

import (
	"bytes"
	"fmt"
	"io"
)

// zeroRun is the shortest run of zeros that is an extent of its own, in bytes.
const zeroRun = 64 << 10

// Range is a range of blocks that matter, before it is looked at.
type Range struct{ Start, Count uint64 }

// NewHeader reads the ranges of a file system, which are in order, and finds
// runs of zeros in them. Facts are the header's words but for the extents.
func NewHeader(src io.ReaderAt, facts Header, ranges []Range) (*Header, error) {
	h := &facts
	buf := make([]byte, 1<<20)
	for _, r := range ranges {
		for at, end := r.Start, r.Start+r.Count; at < end; {
			p := buf[:min(uint64(len(buf)), (end-at)*uint64(h.BlockSize))]
			if _, err := src.ReadAt(p, int64(at)*int64(h.BlockSize)); err != nil {
				return nil, fmt.Errorf("read block %d: %w", at, err)
			}
			at = h.look(at, p)
		}
	}
	h.Extents = mergeShort(h.Extents, zeroRun/h.BlockSize)
	return h, h.complete()
}

// look adds the blocks in p, which are from at on.
func (h *Header) look(at uint64, p []byte) uint64 {
	for ; len(p) > 0; p = p[h.BlockSize:] {
		h.add(Extent{at, 1, isZero(p[:h.BlockSize])})
		at++
	}
	return at
}

// add adds an extent, to the last one if it goes on.
func (h *Header) add(e Extent) { h.Extents = join(h.Extents, e) }

func join(list []Extent, e Extent) []Extent {
	if n := len(list); n > 0 {
		last := &list[n-1]
		if last.Zero == e.Zero && last.Start+uint64(last.Count) == e.Start && uint64(last.Count)+uint64(e.Count) < 1<<32 {
			last.Count += e.Count
			return list
		}
	}
	return append(list, e)
}

// mergeShort makes data of runs of fewer than least blocks of zeros.
func mergeShort(list []Extent, least int) []Extent {
	out := list[:0]
	for _, e := range list {
		e.Zero = e.Zero && int64(e.Count) >= int64(least)
		out = join(out, e)
	}
	return out
}

var zeros [maxBlock]byte

func isZero(p []byte) bool { return bytes.Equal(p, zeros[:len(p)]) }

// NewReader returns the whole stream of a file system.
func NewReader(src io.ReaderAt, h *Header) (io.Reader, error) {
	head, err := h.Encode()
	if err != nil {
		return nil, err
	}
	return io.MultiReader(bytes.NewReader(head), &dataReader{src: src, h: h}), nil
}

// dataReader reads the data of all extents, one after the other.
type dataReader struct {
	src  io.ReaderAt
	h    *Header
	next int   // extent
	at   int64 // byte of it
}

func (d *dataReader) Read(p []byte) (int, error) {
	if d.next == len(d.h.data) {
		return 0, io.EOF
	}
	e := d.h.data[d.next]
	size := int64(d.h.BlockSize)
	n := min(int64(len(p)), int64(e.Count)*size-d.at)
	m, err := d.src.ReadAt(p[:n], int64(e.Start)*size+d.at)
	if d.at += int64(m); d.at == int64(e.Count)*size {
		d.next, d.at = d.next+1, 0
	}
	if int64(m) == n {
		return m, nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the file system is shorter than it says
	}
	return m, err
}
