package frames

import (
	"github.com/klauspost/compress/zstd"
)

// Decoder decodes frames, one at a time.
type Decoder struct{ zstd *zstd.Decoder }

// NewDecoder returns a decoder. Close frees it.
func NewDecoder() (*Decoder, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxFrameSize),
		zstd.WithDecoderMaxWindow(MaxFrameSize), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, err
	}
	return &Decoder{d}, nil
}

// Close frees what the decoder holds.
func (d *Decoder) Close() { d.zstd.Close() }

// Decode decodes one whole frame into dst, which has room for the entry's size,
// and returns the part of dst that it filled. Errors wrap ErrCorrupt.
func (d *Decoder) Decode(dst, frame []byte, e Entry) ([]byte, error) {
	if err := check(frame, e); err != nil {
		return nil, err
	}
	out, err := d.zstd.DecodeAll(frame, dst[:0:e.Size])
	if err != nil {
		return nil, corrupt("%v", err)
	}
	if len(out) != int(e.Size) {
		return nil, corrupt("it stands for %d bytes, not for %d", len(out), e.Size)
	}
	return out, nil
}

// check reads a frame's header and finds its end (RFC 8878, 3.1.1): it must be
// one frame, and the one that the entry describes.
func check(frame []byte, e Entry) error {
	var h zstd.Header
	switch err := h.Decode(frame); {
	case err != nil:
		return corrupt("its header: %v", err)
	case h.Skippable:
		return corrupt("it is a skippable frame")
	case h.DictionaryID != 0:
		return corrupt("it needs a dictionary")
	case !h.HasFCS || h.FrameContentSize != uint64(e.Size):
		return corrupt("its header does not say that it stands for %d bytes", e.Size)
	case !h.HasCheckSum:
		return corrupt("it has no checksum")
	case h.WindowSize > MaxFrameSize:
		return corrupt("its window is larger than a frame may be")
	}
	at := h.HeaderSize
	for last := false; !last; {
		if at+3 > len(frame) {
			return corrupt("it ends within a block")
		}
		block := int(frame[at]) | int(frame[at+1])<<8 | int(frame[at+2])<<16
		last = block&1 != 0
		size := block >> 3
		if block>>1&3 == 1 { // one byte, repeated
			size = 1
		}
		at += 3 + size
	}
	if at+4 != len(frame) {
		return corrupt("it has %d bytes, not %d", at+4, len(frame))
	}
	return nil
}
