package kascade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"kadeploy/kascade/internal/chain"
	"kadeploy/kascade/internal/window"
	"kadeploy/kascade/internal/wire"
)

// prepare takes the source: with its manifest, or with an intake that makes it.
func (h *head) prepare() error {
	_, stream := h.src.(*Stream)
	h.claims = newClaims(stream)
	if h.m == nil {
		return h.prepareIntake()
	}
	if err := h.m.check(); err != nil {
		return err
	}
	if h.src.Size() != h.m.Size {
		return fmt.Errorf("the source has %d bytes, its manifest says %d: make the manifest again", h.src.Size(), h.m.Size)
	}
	h.chunkSize = h.m.ChunkSize
	h.digests = newDigestList(len(h.m.Chunks))
	h.digests.list = h.m.Chunks
	return nil
}

func (h *head) prepareIntake() error {
	h.chunkSize = cmp.Or(h.opts.ChunkSize, DefaultChunkSize)
	size := h.src.Size()
	stream, isStream := h.src.(*Stream)
	if size == UnknownSize && !isStream {
		return errors.New("the source does not know its size: make a Stream of it")
	}
	if _, err := chunkCount(max(0, size), h.chunkSize); err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	if !isStream {
		section := io.NewSectionReader(h.src, 0, size)
		read := func(_ context.Context, b []byte) (int, error) {
			n, err := io.ReadFull(section, b)
			if err == io.ErrUnexpectedEOF {
				err = io.EOF
			}
			return n, err
		}
		h.intake = newIntake(read, h.src, size, h.chunkSize, keepAround, h.fatal)
	} else {
		if stream.used.Swap(true) {
			return errors.New("the stream was broadcast before")
		}
		var read chunkSource
		read, h.close = stream.chunks()
		h.intake = newIntake(read, nil, window.Unknown, h.chunkSize, replay(h.opts.Window, h.chunkSize), h.fatal)
	}
	h.intake.blind = h.opts.NoVerify
	h.intake.want, h.intake.made = h.claims.want, h.claims.differs
	h.digests = h.intake.digests
	return nil
}

// inFlight is how many bytes may be in the sockets between the head and the second node.
const inFlight = 16 << 20

// replay is how many chunks of a stream the head keeps: two windows of a relay, what is
// under way, and what is read ahead.
func replay(limit int64, chunkSize int) int {
	size := int64(chunkSize)
	return int(2*max(window.MinSlots, limit/size+1)+inFlight/size) + readAhead
}

// size is that of the source, or window.Unknown.
func (h *head) size() int64 {
	if h.intake == nil {
		return h.m.Size
	}
	size, _, _ := h.intake.known()
	return size
}

// known is what the chain must know of the source.
func (h *head) known() chain.Source {
	if h.intake == nil {
		return chain.Source{To: h.m.Size, Size: h.m.Size}
	}
	size, from, to := h.intake.known()
	return chain.Source{From: from, To: to, Size: size}
}

func (h *head) manifest() *Manifest {
	if h.intake == nil {
		return h.m
	}
	return h.intake.manifest()
}

// announceEvery is the time for which digests are gathered before the nodes are told.
const announceEvery = 5 * time.Millisecond

// announce wakes the links when there are digests to send.
func (h *head) announce(ctx context.Context) {
	for sent := 0; ; {
		made, more := h.digests.from(sent)
		if sent += len(made); len(made) > 0 {
			for _, p := range h.peers {
				p.link.wake()
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(announceEvery):
		case <-ctx.Done():
			return
		}
	}
}

// teller tells one node of the source. It belongs to the goroutine that writes its link.
type teller struct {
	h     *head
	next  int // digest
	sized bool
}

func (h *head) newTeller() *teller {
	return &teller{h: h, sized: h.src.Size() != UnknownSize}
}

// more gives the digests that the node was not told yet, and the size once it is known,
// message by message; nil when there is nothing more for now.
func (t *teller) more() wire.Message {
	made, _ := t.h.digests.from(t.next)
	if n := min(len(made), wire.MaxDigests); n > 0 && !t.h.opts.NoVerify {
		m := &wire.Digests{First: uint32(t.next), Data: make([]byte, 0, n*wire.DigestSize)}
		for _, d := range made[:n] {
			m.Data = append(m.Data, d[:]...)
		}
		t.next += n
		return m
	}
	return t.size()
}

// size is nil if the node knows it, or nobody does.
func (t *teller) size() wire.Message {
	size := t.h.size()
	if t.sized || size == window.Unknown {
		return nil
	}
	t.sized = true
	return &wire.Size{Bytes: uint64(size)}
}
