package kascade

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"github.com/pierrec/lz4/v4"

	"kadeploy/kascade/internal/window"
)

// packer decides for each chunk whether it travels compressed, and remembers it: wherever
// a chunk goes, it has the same payload.
type packer struct {
	always bool // every chunk that shrinks

	mu     sync.Mutex
	forms  []packForm // by chunk
	ratio  float64    // compressed size over plain size, of late; 0: not known
	effort float64    // seconds that compressing a byte takes
	wait   float64    // seconds that a reader takes for a byte of payload; 0: not known
}

// packForm is what was decided for a chunk.
type packForm uint8

const (
	undecided packForm = iota
	plainForm
	packedForm
)

// Rules of CompressAuto.
const (
	packProbe = 32   // one in so many chunks is compressed just to see what it brings
	packGain  = 0.9  // to be worth it, it must cost less than this part of what it saves
	packWorst = 0.95 // a chunk that stays larger than this is sent plain
	packFade  = 0.2  // weight of the newest measurement
)

// magics begin files that are compressed already: gzip, zstd, xz, bzip2, lz4.
var magics = [][]byte{{0x1f, 0x8b}, {0x28, 0xb5, 0x2f, 0xfd}, {0xfd, '7', 'z', 'X', 'Z', 0}, []byte("BZh"), {0x04, 0x22, 0x4d, 0x18}}

// skippable follows the first byte, 0x50 to 0x5f, of a frame that zstd and lz4 skip
// (RFC 8878, 3.1.2): their files may begin with one that holds an index.
var skippable = []byte{0x2a, 0x4d, 0x18}

// newPacker is nil if nothing is ever compressed.
func newPacker(c Compression) *packer {
	if c == CompressOff {
		return nil
	}
	return &packer{always: c == CompressOn}
}

// wants tells whether chunk i is to be compressed, and whether that was decided before.
func (p *packer) wants(i int64, plain []byte) (pack, decided bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for int64(len(p.forms)) <= i {
		p.forms = append(p.forms, undecided)
	}
	if f := p.forms[i]; f != undecided {
		return f == packedForm, true
	}
	switch {
	case p.always:
		return true, false
	case i == 0 && compressed(plain):
		p.ratio = 1 // what follows is only probed
		return false, false
	case p.ratio == 0 || i%packProbe == 0:
		return true, false
	}
	return p.pays(), false
}

func compressed(start []byte) bool {
	for _, m := range magics {
		if bytes.HasPrefix(start, m) {
			return true
		}
	}
	return len(start) >= 4 && start[0]&0xf0 == 0x50 && bytes.Equal(start[1:4], skippable)
}

// pays tells whether compressing a byte costs less than sending what it saves.
func (p *packer) pays() bool {
	return p.ratio < packWorst && p.effort < packGain*(1-p.ratio)*p.wait
}

// decide notes how chunk i travels, if that is not decided yet, and returns it.
func (p *packer) decide(i int64, packed bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.forms[i] == undecided {
		p.forms[i] = plainForm
		if packed {
			p.forms[i] = packedForm
		}
	}
	return p.forms[i] == packedForm
}

// learn takes what compressing n bytes to size bytes took.
func (p *packer) learn(n, size int, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mix(&p.ratio, float64(size)/float64(n))
	mix(&p.effort, took.Seconds()/float64(n))
}

// sent takes how long a reader took for n bytes of payload. It is times that are averaged,
// not rates: a socket takes some chunks at once, then none until half of its buffer is sent.
func (p *packer) sent(n int, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if took > 0 {
		mix(&p.wait, took.Seconds()/float64(n))
	}
}

func mix(to *float64, v float64) {
	if *to == 0 {
		*to = v
		return
	}
	*to += packFade * (v - *to)
}

// packing is a place in the head's source whose chunks may be compressed. Like the window of
// a node it counts payload bytes within a chunk. The source stands at the chunk's beginning.
type packing struct {
	pieces
	p      *packer
	offset int // in the payload of the present chunk

	piece window.Piece // the whole payload of the chunk; no data: it is not there yet
	plain int          // length of the chunk
	buf   []byte
	lz    lz4.Compressor
	since time.Time // when the chunk was begun to be sent
}

// pack makes the chunks of a place compressed where p says so. from begins at the chunk
// that at belongs to.
func (p *packer) pack(from pieces, at int64, chunkSize int) *packing {
	return &packing{pieces: from, p: p, offset: int(at % int64(chunkSize))}
}

func (k *packing) Next(ctx context.Context) (window.Piece, error) {
	if k.piece.Data == nil {
		if !k.since.IsZero() {
			k.p.sent(k.piece.Form.Length, time.Since(k.since))
		}
		piece, err := k.pieces.Next(ctx)
		if err != nil {
			return piece, err
		}
		k.plain = len(piece.Data)
		k.piece = k.packed(piece)
		k.since = time.Now()
	}
	p := k.piece
	if k.offset >= len(p.Data) {
		if p.Short && k.offset == k.plain {
			return window.Piece{}, io.EOF
		}
		return window.Piece{}, fmt.Errorf("byte %d of chunk %d does not exist: its payload has %d", k.offset, p.Chunk, len(p.Data))
	}
	p.Offset = k.offset
	p.Data = p.Data[p.Offset:]
	return p, nil
}

// packed is the chunk in the form in which it travels.
func (k *packing) packed(piece window.Piece) window.Piece {
	pack, decided := k.p.wants(piece.Chunk, piece.Data)
	if !pack {
		k.p.decide(piece.Chunk, false)
		return piece
	}
	if cap(k.buf) < len(piece.Data) {
		k.buf = make([]byte, len(piece.Data))
	}
	// A buffer that is shorter than the chunk: what does not shrink does not fit.
	start := time.Now()
	n, err := k.lz.CompressBlock(piece.Data, k.buf[:len(piece.Data)-1])
	shrunk := err == nil && n > 0
	if !decided {
		size := len(piece.Data)
		if shrunk {
			size = n
		}
		k.p.learn(len(piece.Data), size, time.Since(start))
		if !k.p.always && float64(size) > packWorst*float64(len(piece.Data)) {
			shrunk = false
		}
	}
	if !k.p.decide(piece.Chunk, shrunk) || !shrunk {
		return piece
	}
	piece.Data = k.buf[:n]
	piece.Form = window.Form{Length: n, Packed: true}
	piece.Form.CRC = crc32.Checksum(piece.Data, castagnoli)
	return piece
}

// Advance passes n bytes of the payload.
func (k *packing) Advance(n int) int64 {
	k.offset += n
	if k.offset < len(k.piece.Data) {
		return k.pieces.Advance(0) + int64(k.offset)
	}
	k.offset, k.piece.Data = 0, nil
	return k.pieces.Advance(k.plain)
}
