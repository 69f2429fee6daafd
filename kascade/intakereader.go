package kascade

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/zeebo/blake3"

	"kadeploy/kascade/internal/window"
	"kadeploy/kascade/internal/wire"
)

// intakeReader is a place in an intake. It belongs to one goroutine, but for at.
type intakeReader struct {
	f     *intake
	node  uint32
	at    int64  // next byte; changed under f.mu
	block *block // that at is in, if it is kept
	own   window.Piece
	buf   []byte // of own, which was read again
}

// reader makes a place, or returns nil if the bytes are gone.
func (f *intake) reader(node uint32, from int64) *intakeReader {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone(from) {
		return nil
	}
	r := &intakeReader{f: f, node: node, at: from}
	f.places[r] = struct{}{}
	f.wake()
	return r
}

// gone tells whether a byte was passed and can not be had again.
func (f *intake) gone(at int64) bool {
	return f.again == nil && at/f.chunkSize < f.next && (len(f.blocks) == 0 || at/f.chunkSize < f.blocks[0].piece.Chunk)
}

// expect keeps everything for a reader that was told to come.
func (f *intake) expect(node uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.due[node] = true
}

// arrived ends what expect began: the reader has come, or will not.
func (f *intake) arrived(node uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.due, node)
	f.wake()
}

// aside makes a reader hold nothing back, or do so again.
func (f *intake) aside(node uint32, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.side[node] = on
	f.wake()
}

func (r *intakeReader) Next(ctx context.Context) (window.Piece, error) {
	index := r.at / r.f.chunkSize
	p := r.own
	if r.block != nil {
		p = r.block.piece
	}
	if p.Data == nil || p.Chunk != index {
		var err error
		if p, err = r.load(ctx, index); err != nil {
			return p, err
		}
	}
	if p.Offset = int(r.at - index*r.f.chunkSize); p.Offset >= len(p.Data) {
		return window.Piece{}, io.EOF // behind the last chunk, which is not full
	}
	p.Data = p.Data[p.Offset:]
	return p, nil
}

// load waits for a chunk.
func (r *intakeReader) load(ctx context.Context, index int64) (window.Piece, error) {
	f := r.f
	f.mu.Lock()
	defer f.mu.Unlock()
	r.drop()
	for {
		switch {
		case r.at >= f.size:
			return window.Piece{}, io.EOF
		case f.gone(r.at):
			return window.Piece{}, errGone
		case index < f.next && len(f.blocks) > 0 && index >= f.blocks[0].piece.Chunk:
			r.block = f.blocks[index-f.blocks[0].piece.Chunk]
			r.block.users++
			return r.block.piece, nil
		case index < f.next:
			size := f.size
			f.mu.Unlock()
			err := r.reread(index, size)
			if err != nil {
				f.fatal(err)
			}
			f.mu.Lock()
			return r.own, err
		}
		more := f.more
		f.mu.Unlock()
		var err error
		select {
		case <-more:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		f.mu.Lock()
		if err != nil {
			return window.Piece{}, err
		}
	}
}

// reread gets a chunk that is kept no longer.
func (r *intakeReader) reread(index, size int64) error {
	if r.buf == nil {
		r.buf = make([]byte, r.f.chunkSize)
	}
	b := r.buf[:min(r.f.chunkSize, size-index*r.f.chunkSize)]
	if n, err := r.f.again.ReadAt(b, index*r.f.chunkSize); n < len(b) {
		if err == io.EOF {
			err = errChanged
		}
		return fmt.Errorf("read %d bytes of the source at byte %d: %w", len(b), index*r.f.chunkSize, err)
	}
	r.own = window.Piece{Chunk: index, Form: window.Form{Length: len(b), CRC: crc32.Checksum(b, castagnoli)}, Data: b, Short: int64(len(b)) < r.f.chunkSize}
	return nil
}

func (r *intakeReader) Advance(n int) int64 {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	before := r.at / r.f.chunkSize
	r.at += int64(n)
	if r.at/r.f.chunkSize != before {
		r.f.wake()
	}
	return r.at
}

func (r *intakeReader) Close() {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	r.drop()
	delete(r.f.places, r)
	r.f.wake()
}

// drop gives up the block that the reader holds.
func (r *intakeReader) drop() {
	if r.block != nil {
		r.f.release(r.block)
		r.block = nil
	}
	r.own = window.Piece{}
}

// right tells whether the chunk at the reader's place is still what its digest says.
func (r *intakeReader) right(ctx context.Context) error {
	p, err := r.Next(ctx)
	if err != nil {
		return err
	}
	made, _ := r.f.digests.from(int(p.Chunk))
	if Digest(blake3.Sum256(p.Data)) != made[0] {
		return fmt.Errorf("chunk %d: %w", p.Chunk, errChanged)
	}
	return nil
}

// open decides what a reader gets.
func (f *intake) open(r wire.Request) (wire.Answer, pieces) {
	size, _, to := f.known()
	from := int64(min(r.From, 1<<62))
	hashed, _ := f.digests.from(int(from / f.chunkSize))
	switch {
	case r.Kind == wire.Follow && from <= size:
	case r.Kind == wire.Gap && from <= end(r) && end(r) <= to:
	case r.Kind == wire.Chunk && from < end(r) && end(r) <= to && from%f.chunkSize == 0 && len(hashed) > 0:
	default:
		return wire.Answer{Status: wire.Refused}, nil
	}
	place := f.reader(r.Reader, from)
	if r.Kind == wire.Follow {
		f.arrived(r.Reader)
	}
	if place == nil {
		return wire.Answer{Status: wire.Gone}, nil
	}
	if r.Kind == wire.Chunk {
		err := place.right(context.Background())
		if err == errGone {
			place.Close()
			return wire.Answer{Status: wire.Gone}, nil
		}
		if err != nil {
			place.Close()
			f.fatal(err)
			return wire.Answer{Status: wire.Changed}, nil
		}
	}
	return wire.Answer{Start: r.From}, place
}
