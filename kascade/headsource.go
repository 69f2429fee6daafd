package kascade

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/zeebo/blake3"

	"kadeploy/kascade/internal/window"
	"kadeploy/kascade/internal/wire"
)

// errChanged means that the head's own source is not what its manifest says.
var errChanged = errors.New("the source does not match its manifest; it was changed, or is damaged")

// chunkReader is a place in the head's source. It reads whole chunks, as a header
// needs the CRC of the whole.
type chunkReader struct {
	src   Source
	m     *Manifest
	at    int64
	piece window.Piece // of the chunk that is in buf
	buf   []byte
	fatal func(error) // told when the source cannot be read
	noCRC bool
}

func (h *head) newChunkReader(at int64) *chunkReader {
	return &chunkReader{src: h.src, m: h.m, at: at, piece: window.Piece{Chunk: -1}, fatal: h.fatal, noCRC: h.opts.NoVerify}
}

func (r *chunkReader) Next(context.Context) (window.Piece, error) {
	index := r.at / int64(r.m.ChunkSize)
	if index != r.piece.Chunk {
		if err := r.load(index); err != nil {
			r.fatal(err)
			return window.Piece{}, err
		}
	}
	p := r.piece
	p.Offset = int(r.at - index*int64(r.m.ChunkSize))
	p.Data = r.buf[p.Offset:p.Form.Length]
	return p, nil
}

func (r *chunkReader) load(index int64) error {
	n := r.m.chunkLen(int(index))
	if r.buf == nil {
		r.buf = make([]byte, min(int64(r.m.ChunkSize), r.m.Size))
	}
	if got, err := r.src.ReadAt(r.buf[:n], index*int64(r.m.ChunkSize)); got < n {
		if err == io.EOF {
			err = errChanged
		}
		return fmt.Errorf("read %d bytes of the source at byte %d: %w", n, index*int64(r.m.ChunkSize), err)
	}
	r.piece = window.Piece{Chunk: index, Form: window.Form{Length: n}}
	if !r.noCRC {
		r.piece.Form.CRC = crc32.Checksum(r.buf[:n], castagnoli)
	}
	return nil
}

func (r *chunkReader) Advance(n int) int64 {
	r.at += int64(n)
	return r.at
}

func (r *chunkReader) Close() {}

// open decides what a reader of the head gets, and in which form.
func (h *head) open(r wire.Request) (wire.Answer, pieces) {
	from := r.From
	if h.packer != nil {
		r.From -= from % uint64(h.chunkSize) // only a whole chunk can be compressed
	}
	answer, place := h.openPlain(r)
	if place == nil {
		return answer, nil
	}
	answer.Start = from
	if h.packer != nil {
		place = h.packer.pack(place, int64(from), h.chunkSize)
	}
	if r.Kind == wire.Follow {
		place = h.feeds.follow(r.Reader, place)
	}
	return answer, place
}

// openPlain is open without the form.
func (h *head) openPlain(r wire.Request) (wire.Answer, pieces) {
	if h.intake != nil {
		answer, place := h.intake.open(r)
		switch {
		case place == nil:
		case r.Kind == wire.Chunk:
			h.refetched.Add(int64(r.To - r.From))
		}
		return answer, place
	}
	if r.To > uint64(h.m.Size) {
		return wire.Answer{Status: wire.Refused}, nil
	}
	from := h.newChunkReader(int64(r.From))
	switch r.Kind {
	case wire.Follow, wire.Gap:
	case wire.Chunk:
		if r.From == r.To {
			return wire.Answer{Status: wire.Refused}, nil
		}
		p, err := from.Next(context.Background())
		if err == nil && Digest(blake3.Sum256(from.buf[:p.Form.Length])) != h.m.Chunks[p.Chunk] {
			err = fmt.Errorf("chunk %d: %w", p.Chunk, errChanged)
			h.fatal(err)
		}
		if err != nil {
			return wire.Answer{Status: wire.Changed}, nil
		}
		h.refetched.Add(int64(r.To - r.From))
	default:
		return wire.Answer{Status: wire.Refused}, nil
	}
	return wire.Answer{Start: r.From}, from
}
