package image

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"kadeploy/agent/internal/fault"
	"kadeploy/proto/image/compression"
	"kadeploy/proto/image/frames"
)

// Names of compressions, as in environment descriptions.
const (
	None  = compression.None
	Gzip  = compression.Gzip
	Bzip2 = compression.Bzip2
	XZ    = compression.XZ
	Zstd  = compression.Zstd
	LZ4   = compression.LZ4
)

// inputBuffer keeps the decoders' many small reads from crossing the pipe.
const inputBuffer = 256 << 10

// decompress returns the decoded stream. The compression comes from the
// description, never from the data: data that says otherwise is an error.
func decompress(r io.Reader, name string) (io.ReadCloser, error) {
	if !compression.Known(name) {
		return nil, fault.Invalidf("unknown compression %q: use none, gzip, bzip2, xz, zstd or lz4", name)
	}
	br := bufio.NewReaderSize(r, inputBuffer)
	head, err := br.Peek(tarMagicEnd)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(head) == 0 {
		return nil, fault.Invalidf("the image is empty")
	}
	if got := sniff(head); got != name && (got != None || name != None) {
		if got == None {
			return nil, fault.Invalidf("the description says that the image is compressed with %s, but its content is not: correct image.compression, or the file", name)
		}
		return nil, fault.Invalidf("the description says that the image's compression is %s, but its content is %s: correct image.compression, or the file", name, got)
	}
	d := &decoder{compression: name}
	if name == Zstd && frames.Sniff(head) {
		f, err := newFrameReader(br)
		if err != nil {
			return nil, d.explain(err)
		}
		d.blocks = f
		return d, nil
	}
	if d.stream, err = compression.NewReader(br, name); err != nil {
		return nil, d.explain(err)
	}
	return d, nil
}

// decoder is decoded data, as a stream or in blocks; its errors say what was being decoded.
type decoder struct {
	compression string
	stream      io.ReadCloser // nil if there are blocks
	blocks      blocks
	rest        []byte // of a block
}

func (d *decoder) explain(err error) error {
	switch {
	case err == nil || err == io.EOF || d.compression == None:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("decompress (%s): the image is truncated: %w", d.compression, err)
	}
	return fmt.Errorf("decompress (%s): %w", d.compression, err)
}

// next returns the next block, if there are blocks.
func (d *decoder) next() ([]byte, error) {
	block, err := d.blocks.next()
	return block, d.explain(err)
}

func (d *decoder) Read(p []byte) (int, error) {
	if d.stream != nil {
		n, err := d.stream.Read(p)
		return n, d.explain(err)
	}
	if len(d.rest) == 0 {
		var err error
		if d.rest, err = d.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

func (d *decoder) close() { d.blocks.close() }

// Close frees what the decoder holds.
func (d *decoder) Close() error {
	if d.stream != nil {
		return d.stream.Close()
	}
	d.blocks.close()
	return nil
}

const (
	tarMagicAt  = 257
	tarMagicEnd = tarMagicAt + 5
)

// Magic numbers: RFC 1952 (gzip), RFC 8878 (zstd), the file format documents of xz and lz4.
var (
	magicGzip      = []byte{0x1f, 0x8b}
	magicXZ        = []byte{0xfd, '7', 'z', 'X', 'Z', 0}
	magicZstd      = []byte{0x28, 0xb5, 0x2f, 0xfd}
	magicLZ4       = []byte{0x04, 0x22, 0x4d, 0x18}
	magicLZ4Legacy = []byte{0x02, 0x21, 0x4c, 0x18}
	magicBzip2     = []byte{0x31, 0x41, 0x59, 0x26, 0x53, 0x59} // first block, after "BZh" and a digit
	magicBzip2End  = []byte{0x17, 0x72, 0x45, 0x38, 0x50, 0x90} // no block at all
	magicTar       = []byte("ustar")
)

// sniff tells the compression of data by its first bytes.
func sniff(head []byte) string {
	if len(head) >= tarMagicEnd && bytes.Equal(head[tarMagicAt:tarMagicEnd], magicTar) {
		return None // a member's name may begin with anything
	}
	switch {
	case bytes.HasPrefix(head, magicGzip):
		return Gzip
	case bytes.HasPrefix(head, magicXZ):
		return XZ
	case bytes.HasPrefix(head, magicZstd), isSkippable(head, magicZstd):
		return Zstd
	case bytes.HasPrefix(head, magicLZ4), bytes.HasPrefix(head, magicLZ4Legacy):
		return LZ4
	case len(head) >= 10 && bytes.HasPrefix(head, []byte("BZh")) &&
		(bytes.Equal(head[4:10], magicBzip2) || bytes.Equal(head[4:10], magicBzip2End)):
		return Bzip2
	}
	return None
}

// isSkippable reports a skippable frame (RFC 8878, 3.1.2) that is followed by
// a frame with the given magic number, or whose end is out of sight.
func isSkippable(head, magic []byte) bool {
	if len(head) < 8 || head[0]&0xf0 != 0x50 || !bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}) {
		return false
	}
	next := 8 + int64(head[4]) + int64(head[5])<<8 + int64(head[6])<<16 + int64(head[7])<<24
	return next >= int64(len(head)) || bytes.HasPrefix(head[next:], magic)
}
