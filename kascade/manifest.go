package kascade

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/blake3"
)

// Sizes of chunks, in bytes (SPEC, section 3).
const (
	MinChunkSize     = 1 << 10
	MaxChunkSize     = 4 << 20
	DefaultChunkSize = 1 << 20
)

// MaxChunks bounds a manifest, and so what a node allocates for it (64 MiB).
const MaxChunks = 2 << 20

// Digest is a BLAKE3 hash of 32 bytes.
type Digest [32]byte

// Manifest is what makes a stream provable: the BLAKE3 digest of each chunk and
// of the whole. Chunk i is the bytes from i*ChunkSize on; only the last is shorter.
type Manifest struct {
	Size      int64
	ChunkSize int
	Whole     Digest // of all bytes, as b3sum prints it
	Chunks    []Digest
}

// NewManifest reads src to its end, once. A chunkSize of 0 means DefaultChunkSize.
func NewManifest(src io.Reader, chunkSize int) (*Manifest, error) {
	if chunkSize == 0 {
		chunkSize = DefaultChunkSize
	}
	if chunkSize < MinChunkSize || chunkSize > MaxChunkSize {
		return nil, fmt.Errorf("manifest: chunk size %d is not within %d to %d bytes", chunkSize, MinChunkSize, MaxChunkSize)
	}
	// The digest of the whole is computed beside those of the chunks, in blocks that
	// change hands over two channels.
	type block struct{ buf, data []byte }
	free, full := make(chan []byte, 3), make(chan block, 3)
	for range cap(free) {
		free <- make([]byte, chunkSize)
	}
	m := &Manifest{ChunkSize: chunkSize}
	whole := make(chan Digest)
	go func() {
		h := blake3.New()
		for b := range full {
			h.Write(b.data)
			free <- b.buf
		}
		var d Digest
		h.Sum(d[:0])
		whole <- d
	}()
	var err error
	for err == nil {
		var n int
		buf := <-free
		n, err = io.ReadFull(src, buf)
		if n > 0 {
			if len(m.Chunks) == MaxChunks {
				err = fmt.Errorf("source is longer than %d chunks of %d bytes; use larger chunks", MaxChunks, chunkSize)
				break
			}
			full <- block{buf, buf[:n]}
			m.Chunks = append(m.Chunks, blake3.Sum256(buf[:n]))
			m.Size += int64(n)
		}
	}
	close(full)
	m.Whole = <-whole
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("manifest: read source after %d bytes: %w", m.Size, err)
	}
	return m, nil
}

// chunkLen is the length of chunk i.
func (m *Manifest) chunkLen(i int) int {
	return int(min(int64(m.ChunkSize), m.Size-int64(i)*int64(m.ChunkSize)))
}

// The encoded form is that of SPEC, section 3.
const (
	manifestMagic   = "KSMF"
	manifestVersion = 1
	manifestHeader  = 4 + 2 + 2 + 4 + 8 + 32
)

// Encode is the form in which a manifest is stored.
func (m *Manifest) Encode() []byte {
	b := make([]byte, 0, manifestHeader+len(m.Chunks)*len(Digest{}))
	b = append(b, manifestMagic...)
	b = binary.BigEndian.AppendUint16(b, manifestVersion)
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(m.ChunkSize))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Size))
	b = append(b, m.Whole[:]...)
	for _, d := range m.Chunks {
		b = append(b, d[:]...)
	}
	return b
}

// DecodeManifest reads the encoded form; what does not fit together is refused.
func DecodeManifest(b []byte) (*Manifest, error) {
	if len(b) < manifestHeader || string(b[:4]) != manifestMagic {
		return nil, errors.New("decode manifest: not a manifest")
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != manifestVersion {
		return nil, fmt.Errorf("decode manifest: version %d, this program reads version %d", v, manifestVersion)
	}
	m := &Manifest{ChunkSize: int(binary.BigEndian.Uint32(b[8:])), Size: int64(binary.BigEndian.Uint64(b[12:]))}
	copy(m.Whole[:], b[20:])
	n, err := chunkCount(m.Size, m.ChunkSize)
	if err != nil {
		return nil, fmt.Errorf("decode manifest: %w", err)
	}
	b = b[manifestHeader:]
	if len(b) != n*len(Digest{}) {
		return nil, fmt.Errorf("decode manifest: %d bytes of digests, %d chunks need %d", len(b), n, n*len(Digest{}))
	}
	for i := range n {
		m.Chunks = append(m.Chunks, Digest(b[i*len(Digest{}):][:len(Digest{})]))
	}
	return m, nil
}

// check tells whether the fields fit together.
func (m *Manifest) check() error {
	n, err := chunkCount(m.Size, m.ChunkSize)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if n != len(m.Chunks) {
		return fmt.Errorf("manifest: %d digests for %d chunks", len(m.Chunks), n)
	}
	return nil
}

// chunkCount is the number of chunks of a stream, if its sizes are within limits.
func chunkCount(size int64, chunkSize int) (int, error) {
	if chunkSize < MinChunkSize || chunkSize > MaxChunkSize {
		return 0, fmt.Errorf("chunk size %d is not within %d to %d bytes", chunkSize, MinChunkSize, MaxChunkSize)
	}
	if size < 0 || size > MaxChunks*int64(chunkSize) {
		return 0, fmt.Errorf("size %d is not within 0 to %d bytes (%d chunks)", size, MaxChunks*int64(chunkSize), MaxChunks)
	}
	return int((size + int64(chunkSize) - 1) / int64(chunkSize)), nil
}
