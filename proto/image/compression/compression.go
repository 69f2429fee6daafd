// Package compression decompresses streams by the name that environment
// descriptions have for it. Nodes and the coordinator accept the same ones.
package compression

import (
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"kadeploy/proto/image/gunzip"
)

// Names of compressions.
const (
	None  = "none"
	Gzip  = "gzip"
	Bzip2 = "bzip2"
	XZ    = "xz"
	Zstd  = "zstd"
	LZ4   = "lz4"
)

// maxWindow is the most memory that a zstd frame may ask for: what the zstd
// tool decodes without being told to (up to --long=27).
const maxWindow = 128 << 20

// Known tells whether there is a decoder of that name.
func Known(name string) bool { return decoders[name] != nil }

// NewReader returns a decoder of r. It may read beyond the end of the data.
func NewReader(r io.Reader, name string) (io.ReadCloser, error) {
	open := decoders[name]
	if open == nil {
		return nil, fmt.Errorf("unknown compression %q: use none, gzip, bzip2, xz, zstd or lz4", name)
	}
	return open(r)
}

var decoders = map[string]func(io.Reader) (io.ReadCloser, error){
	None: func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(r), nil },
	Gzip: func(r io.Reader) (io.ReadCloser, error) { return gunzip.NewReader(r) },
	Bzip2: func(r io.Reader) (io.ReadCloser, error) {
		return io.NopCloser(bzip2.NewReader(r)), nil
	},
	XZ: openXZ,
	Zstd: func(r io.Reader) (io.ReadCloser, error) {
		// One decoder goroutine beside the writers is faster than zstd's own pipeline.
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow),
			zstd.WithDecoderLowmem(false))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	},
	LZ4: func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(lz4.NewReader(r)), nil },
}
