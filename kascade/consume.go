package kascade

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/zeebo/blake3"

	"kadeploy/kascade/internal/window"
	"kadeploy/kascade/internal/wire"
)

// Limits of damaged chunks (SPEC, section 2).
const (
	maxAttempts = 3  // to get one chunk right
	maxDamaged  = 64 // chunks in one broadcast
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// consume feeds the sink with what matches the manifest, and commits it. If the sink
// fails the node tells the head, and goes on relaying.
func (n *node) consume(ctx context.Context, place *window.Reader) {
	err := n.sink.resume(place.At(), int(n.start.ChunkSize))
	if err == nil {
		err = n.drain(ctx, place)
	}
	place.Close()
	if err == nil {
		err = n.sink.commit(ctx)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		n.log.Warn("sink failed", "consumed", n.consumed.Load(), "error", err)
		n.sink.fail(err)
		n.link.send(&wire.SinkFailed{Reason: err.Error()})
	default:
		n.link.post(n.status)
		n.link.send(&wire.Done{Consumed: uint64(n.consumed.Load())})
	}
}

// drain writes every chunk to the sink, in order.
func (n *node) drain(ctx context.Context, place *window.Reader) error {
	for {
		piece, err := place.NextChunk(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		data, err := n.verified(ctx, piece)
		if err != nil {
			return err
		}
		n.sinking.start()
		wrote, err := n.sink.Write(data)
		n.sinking.stop()
		if err != nil {
			return fmt.Errorf("write to the sink after %d bytes: %w", n.consumed.Load()+int64(wrote), err)
		}
		n.consumed.Add(int64(len(data)))
		place.Advance(len(piece.Data))
		if n.start.Options&wire.NoVerify == 0 {
			d, _ := n.digests.get(ctx, int(piece.Chunk)) // it is there, as the chunk was compared with it
			n.sink.verified(int(piece.Chunk), d)
		}
	}
}

// verified is the chunk as the manifest has it: what arrived, else fetched again.
func (n *node) verified(ctx context.Context, piece window.Piece) ([]byte, error) {
	if n.start.Options&wire.NoVerify != 0 {
		return n.unpack(piece)
	}
	want, err := n.digests.get(ctx, int(piece.Chunk))
	if err != nil {
		return nil, err
	}
	n.checking.start()
	plain, err := n.unpack(piece)
	right := err == nil && Digest(blake3.Sum256(plain)) == want
	n.checking.stop()
	if right {
		return plain, nil
	}
	if n.damaged++; n.damaged > maxDamaged {
		return nil, fmt.Errorf("more than %d chunks arrived damaged: the link or the memory of this node or of one before it is bad", maxDamaged)
	}
	n.reportDamage(piece)
	return n.refetch(ctx, piece, want)
}

// unpack is the plain bytes of a chunk, valid until the next call.
func (n *node) unpack(p window.Piece) ([]byte, error) {
	if p.Form.Packed && n.plain == nil {
		n.plain = make([]byte, n.start.ChunkSize)
	}
	length := n.win.Length(p.Chunk)
	return unpack(p.Data, p.Form, n.plain[:min(length, len(n.plain))])
}

// reportDamage tells the head of a chunk that does not match. Its CRC is computed only
// now: the digest finds everything, the CRC tells on which link.
func (n *node) reportDamage(p window.Piece) {
	kind := wire.BadDigest
	if crc32.Checksum(p.Data, castagnoli) != p.Form.CRC {
		kind = wire.BadCRC
	}
	n.log.Warn("chunk arrived damaged", "chunk", p.Chunk, "crc_ok", kind == wire.BadDigest)
	n.link.send(&wire.Bad{Chunk: uint32(p.Chunk), Kind: kind, Previous: n.feeder.Load()})
}

// refetch gets a damaged chunk from the head.
func (n *node) refetch(ctx context.Context, p window.Piece, want Digest) ([]byte, error) {
	var err error
	for range maxAttempts {
		var data []byte
		if data, err = n.fetchChunk(ctx, p); err == nil {
			if Digest(blake3.Sum256(data)) == want {
				return data, nil
			}
			err = errors.New("damaged again")
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return nil, fmt.Errorf("chunk %d arrived damaged and could not be fetched again: %w", p.Chunk, err)
}

func (n *node) fetchChunk(ctx context.Context, p window.Piece) ([]byte, error) {
	from := uint64(p.Chunk) * uint64(n.start.ChunkSize)
	conn, answer, err := n.dialHead(ctx, wire.Request{Kind: wire.Chunk, From: from, To: from + uint64(n.win.Length(p.Chunk))})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if answer.Status == wire.Changed {
		return nil, errors.New("the head's source does not match its manifest any more")
	}
	var head [wire.HeaderSize]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	h, length := wire.ReadHeader(head[:]), n.win.Length(p.Chunk)
	form := window.Form{Length: int(h.Length), CRC: h.CRC, Packed: h.Packed}
	if int64(h.Chunk) != p.Chunk || !n.plausible(form, length) {
		return nil, fmt.Errorf("header of chunk %d with %d bytes", h.Chunk, h.Length)
	}
	payload := make([]byte, form.Length)
	if _, err := io.ReadFull(conn, payload); err != nil {
		return nil, err
	}
	return unpack(payload, form, make([]byte, length))
}

// guardedSink keeps the promise that a sink gets exactly one Commit or Abort.
type guardedSink struct {
	sink Sink

	mu        sync.Mutex
	ended     bool // Commit or Abort was called
	committed bool // Commit returned nil
	err       error
}

func (s *guardedSink) Write(b []byte) (int, error) { return s.sink.Write(b) }

// resume tells a sink that can go on from where.
func (s *guardedSink) resume(from int64, chunkSize int) error {
	if r, ok := s.sink.(Resumer); ok {
		if err := r.Resume(from, chunkSize); err != nil {
			return fmt.Errorf("go on at byte %d: %w", from, err)
		}
	} else if from > 0 {
		return fmt.Errorf("the sink cannot go on at byte %d", from)
	}
	return nil
}

// verified tells a sink that keeps a record of a chunk that it has.
func (s *guardedSink) verified(chunk int, d Digest) {
	if v, ok := s.sink.(Verified); ok {
		v.Verified(chunk, d)
	}
}

func (s *guardedSink) commit(ctx context.Context) error {
	s.mu.Lock()
	ended := s.ended
	s.ended = true
	s.mu.Unlock()
	if ended {
		return context.Cause(ctx)
	}
	err := s.sink.Commit(ctx)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	s.mu.Lock()
	s.committed = true
	s.mu.Unlock()
	return nil
}

// abort ends the sink, unless it has ended.
func (s *guardedSink) abort(cause error) {
	s.mu.Lock()
	ended := s.ended
	s.ended = true
	s.mu.Unlock()
	if !ended {
		s.sink.Abort(cause)
	}
}

// fail notes why the sink failed, and ends it.
func (s *guardedSink) fail(err error) {
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	s.abort(err)
}

func (s *guardedSink) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *guardedSink) done() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committed
}
