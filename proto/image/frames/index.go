// Package frames is a compressed image in independent zstd frames with an index
// (SPEC.md): how the index is written and read, how an image is cut into
// frames, and how one frame is decoded. It reads and writes streams; it knows
// nothing of what the image holds.
package frames

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Limits and values of the format.
const (
	Version      = 1
	MaxFrameSize = 8 << 20  // bytes that a frame may stand for
	maxStored    = 16 << 20 // bytes that it may have in the file
	maxFrames    = 1 << 20

	// SniffSize is how many bytes Sniff needs.
	SniffSize = 20

	skippable  = 0x184D2A5B
	mark       = "KDPLFRMS"
	prefix     = 8  // before what length counts
	headerSize = 44 // before the entries
	entrySize  = 8
	sumSize    = 4
)

// ErrCorrupt is wrapped by every error about what a file says.
var ErrCorrupt = errors.New("the image's frames are corrupt")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// Entry is one frame.
type Entry struct {
	Compressed uint32 // bytes in the file
	Size       uint32 // bytes that it stands for
}

// Index is the frames of a file, in their order.
type Index struct {
	FrameSize uint32 // the most bytes that one stands for
	Frames    []Entry
}

// Totals are the bytes that all frames stand for, and the bytes that they have in the file.
func (x *Index) Totals() (size, compressed uint64) {
	for _, e := range x.Frames {
		size += uint64(e.Size)
		compressed += uint64(e.Compressed)
	}
	return size, compressed
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the index as it stands at the start of a file.
func (x *Index) Encode() []byte {
	size, compressed := x.Totals()
	length := headerSize - prefix + entrySize*len(x.Frames) + sumSize
	le := binary.LittleEndian
	b := make([]byte, 0, prefix+length)
	b = le.AppendUint32(b, skippable)
	b = le.AppendUint32(b, uint32(length))
	b = append(b, mark...)
	b = le.AppendUint16(b, Version)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint32(b, x.FrameSize)
	b = le.AppendUint64(b, size)
	b = le.AppendUint64(b, compressed)
	b = le.AppendUint32(b, uint32(len(x.Frames)))
	for _, e := range x.Frames {
		b = le.AppendUint32(b, e.Compressed)
		b = le.AppendUint32(b, e.Size)
	}
	return le.AppendUint32(b, crc32.Checksum(b[prefix:], castagnoli))
}

// Sniff tells whether a file that begins with head has an index of this version.
// It needs SniffSize bytes.
func Sniff(head []byte) bool {
	return len(head) >= SniffSize && binary.LittleEndian.Uint32(head) == skippable &&
		string(head[8:16]) == mark && binary.LittleEndian.Uint16(head[16:]) == Version
}

// ReadIndex reads the index of a file, and nothing after it. Errors wrap ErrCorrupt or are r's.
func ReadIndex(r io.Reader) (*Index, error) {
	var h [headerSize]byte
	if err := readFull(r, h[:]); err != nil {
		return nil, err
	}
	if !Sniff(h[:]) {
		return nil, corrupt("no index of version %d at the start", Version)
	}
	le := binary.LittleEndian
	x := &Index{FrameSize: le.Uint32(h[20:])}
	n := le.Uint32(h[40:])
	switch {
	case le.Uint16(h[18:]) != 0:
		return nil, corrupt("the reserved field of the index is not 0")
	case x.FrameSize < 1 || x.FrameSize > MaxFrameSize:
		return nil, corrupt("frame size %d is not from 1 to %d", x.FrameSize, MaxFrameSize)
	case n < 1 || n > maxFrames:
		return nil, corrupt("%d frames are not from 1 to %d", n, maxFrames)
	case uint64(le.Uint32(h[4:])) != headerSize-prefix+entrySize*uint64(n)+sumSize:
		return nil, corrupt("the index has %d bytes, which do not hold %d frames", le.Uint32(h[4:]), n)
	}
	rest := make([]byte, entrySize*int(n)+sumSize)
	if err := readFull(r, rest); err != nil {
		return nil, err
	}
	entries := rest[:len(rest)-sumSize]
	if sum := crc32.Update(crc32.Checksum(h[prefix:], castagnoli), castagnoli, entries); sum != le.Uint32(rest[len(entries):]) {
		return nil, corrupt("the index's checksum is wrong")
	}
	x.Frames = make([]Entry, n)
	for i := range x.Frames {
		e := Entry{le.Uint32(entries[entrySize*i:]), le.Uint32(entries[entrySize*i+4:])}
		if e.Compressed < 1 || e.Compressed > maxStored || e.Size < 1 || e.Size > x.FrameSize {
			return nil, corrupt("entry %d has impossible sizes (%d bytes in the file, %d in the image)", i, e.Compressed, e.Size)
		}
		x.Frames[i] = e
	}
	if size, compressed := x.Totals(); size != le.Uint64(h[24:]) || compressed != le.Uint64(h[32:]) {
		return nil, corrupt("the index's sums are not those of its entries")
	}
	return x, nil
}

func readFull(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return corrupt("the file ends within the index")
	}
	return err
}
