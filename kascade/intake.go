package kascade

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"kadeploy/kascade/internal/window"
)

// Bounds of an intake, in chunks.
const (
	readAhead  = 4 // read before the reader that is furthest asks for it
	keepAround = 8 // kept of a source that can be read again
)

// intake reads a source once, from its beginning to its end, while it is broadcast, and
// makes its manifest of the same bytes that the readers get. Whoever is furthest drives
// it; it keeps the last chunks for the others. What it keeps no longer is read again if
// the source can do that, and is gone otherwise: then the readers hold it back, but for
// those that are beside the chain.
type intake struct {
	source    chunkSource
	again     io.ReaderAt // nil: a stream
	chunkSize int64
	keep      int         // chunks
	blind     bool        // makes no digests
	fatal     func(error) // told when the source cannot be read again
	digests   *digestList
	whole     Digest // when hashed is closed and ended is true
	hashed    chan struct{}

	mu     sync.Mutex
	size   int64 // window.Unknown until it is known
	next   int64 // number of the chunk that is read next
	ended  bool  // everything was read
	blocks []*block
	free   [][]byte
	places map[*intakeReader]struct{}
	due    map[uint32]bool        // readers that were told to come, and have not yet
	side   map[uint32]bool        // readers that hold nothing back
	want   func(chunk int64) bool // whether one is to be read although no reader is near
	made   func(chunk int, d Digest)
	more   chan struct{} // closed and replaced when next or size changes
	room   chan struct{} // wakes the one that reads
}

// block is one chunk in memory.
type block struct {
	piece window.Piece // its data is the whole chunk
	users int
}

// chunkSource fills b with the next bytes of a source. Less than len(b), or io.EOF, is its end.
type chunkSource func(ctx context.Context, b []byte) (int, error)

// newIntake reads a source of size bytes, or window.Unknown.
func newIntake(src chunkSource, again io.ReaderAt, size int64, chunkSize, keep int, fatal func(error)) *intake {
	return &intake{
		source: src, again: again, chunkSize: int64(chunkSize), keep: keep, size: size, fatal: fatal,
		want: func(int64) bool { return false }, made: func(int, Digest) {}, digests: newDigestList(MaxChunks), hashed: make(chan struct{}),
		places: map[*intakeReader]struct{}{}, due: map[uint32]bool{}, side: map[uint32]bool{},
		more: make(chan struct{}), room: make(chan struct{}, 1),
	}
}

// run reads the source to its end, as fast as somebody wants it.
func (f *intake) run(ctx context.Context) error {
	hash := make(chan *block, readAhead)
	go f.hash(hash)
	defer func() { <-f.hashed }()
	defer close(hash)
	for {
		b, err := f.begin(ctx)
		if b == nil {
			return err
		}
		n, err := f.source(ctx, b.piece.Data)
		if n > 0 && b.piece.Chunk >= MaxChunks {
			err = fmt.Errorf("it is longer than %d chunks of %d bytes; use larger chunks", MaxChunks, f.chunkSize)
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("read the source at byte %d: %w", b.piece.Chunk*f.chunkSize, err)
		}
		b.piece.Data, b.piece.Form.Length = b.piece.Data[:n], n
		if !f.blind {
			b.piece.Form.CRC = crc32.Checksum(b.piece.Data, castagnoli)
		}
		if err := f.publish(b, err == io.EOF); err != nil {
			return err
		}
		switch {
		case n == 0:
		case f.blind:
			f.done(b)
		default:
			hash <- b
		}
	}
}

// begin waits until the next chunk is wanted and there is room for it. It returns nil at
// the end.
func (f *intake) begin(ctx context.Context) (*block, error) {
	for {
		f.mu.Lock()
		length := min(f.chunkSize, f.size-f.next*f.chunkSize)
		if length <= 0 {
			f.ended = true
		}
		if f.ended {
			f.mu.Unlock()
			return nil, nil
		}
		if f.wanted() && f.fits() {
			defer f.mu.Unlock()
			return &block{piece: window.Piece{Chunk: f.next, Data: f.buffer(int(length))}, users: 1}, nil
		}
		f.mu.Unlock()
		select {
		case <-f.room:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// wanted tells whether somebody is near the next chunk.
func (f *intake) wanted() bool {
	if f.want(f.next) {
		return true
	}
	near := (f.next - readAhead) * f.chunkSize
	for r := range f.places {
		if r.at >= near {
			return true
		}
	}
	return false
}

// fits makes room for one more block, if nobody who counts needs the oldest.
func (f *intake) fits() bool {
	if len(f.blocks) < f.keep {
		return true
	}
	oldest := f.blocks[0]
	if f.again == nil {
		from := oldest.piece.Chunk * f.chunkSize
		for r := range f.places {
			if r.at >= from && r.at < from+f.chunkSize && !f.side[r.node] {
				return false
			}
		}
		for node := range f.due { // what it needs is known when it is here
			if !f.side[node] {
				return false
			}
		}
	}
	f.blocks = append(f.blocks[:0], f.blocks[1:]...)
	f.release(oldest)
	return true
}

func (f *intake) buffer(n int) []byte {
	if last := len(f.free) - 1; last >= 0 {
		b := f.free[last]
		f.free = f.free[:last]
		return b[:n]
	}
	return make([]byte, n, f.chunkSize)
}

func (f *intake) release(b *block) {
	if b.users--; b.users == 0 {
		f.free = append(f.free, b.piece.Data[:0])
	}
}

// publish gives a block to the readers. The last comes together with the size.
func (f *intake) publish(b *block, last bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := int64(len(b.piece.Data))
	size := b.piece.Chunk*f.chunkSize + n
	short := n < min(f.chunkSize, f.size-b.piece.Chunk*f.chunkSize)
	switch {
	case (last || short) && f.size != window.Unknown && size < f.size:
		return fmt.Errorf("read the source at byte %d: %w", size, errChanged)
	case last || short:
		f.size, f.ended = size, true
	}
	b.piece.Short = n < f.chunkSize
	if n > 0 {
		f.next++
		f.blocks = append(f.blocks, b)
		b.users++ // until its digests are made
	}
	close(f.more)
	f.more = make(chan struct{})
	return nil
}

// wake lets the one that reads look again.
func (f *intake) wake() {
	select {
	case f.room <- struct{}{}:
	default:
	}
}

// known is the size of the source, or window.Unknown, and which of its bytes are at hand.
func (f *intake) known() (size, from, to int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.again == nil && len(f.blocks) > 0 {
		from = f.blocks[0].piece.Chunk * f.chunkSize
	}
	return f.size, from, min(f.size, f.next*f.chunkSize)
}

// manifest is what was made, if the source was read to its end.
func (f *intake) manifest() *Manifest {
	select {
	case <-f.hashed:
	default:
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended || f.blind {
		return nil
	}
	chunks, _ := f.digests.from(0)
	return &Manifest{Size: f.size, ChunkSize: int(f.chunkSize), Whole: f.whole, Chunks: chunks}
}
