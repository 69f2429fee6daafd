package wire

import (
	"io"
)

// Reader reads control messages from one link.
type Reader struct {
	r   io.Reader
	buf []byte
}

// NewReader reads from r, in pieces; r is best buffered.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next returns the next message. Types that may be ignored are skipped. A link that
// ends between two messages gives io.EOF.
func (r *Reader) Next() (Message, error) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(r.r, head[:]); err != nil {
			return nil, err
		}
		n := be.Uint32(head[:])
		if n == 0 || n > MaxMessage {
			return nil, violation("control message of %d bytes, the limit is %d", n, MaxMessage)
		}
		if int(n) > cap(r.buf) {
			r.buf = make([]byte, n)
		}
		r.buf = r.buf[:n]
		if _, err := io.ReadFull(r.r, r.buf); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		m, err := Decode(Type(r.buf[0]), r.buf[1:])
		if m != nil || err != nil {
			return m, err
		}
	}
}

// Decode reads the body of a message of type t. It returns neither message nor error
// for a type that may be ignored.
func Decode(t Type, body []byte) (Message, error) {
	d := &decoder{b: body}
	var m Message
	switch t {
	case TypeStart:
		s := &Start{Version: d.u16(), Self: d.u32(), Nodes: d.u32(), Size: d.u64(), ChunkSize: d.u32(), Window: d.u64(), DeadAfter: d.u32()}
		copy(s.Key[:], d.take(KeySize))
		s.Name, s.HeadHost, s.HeadPort, s.Options = d.str(), d.str(), d.u16(), StartOptions(d.u8())
		m = s
	case TypeDigests:
		m = &Digests{First: d.u32(), Data: d.digests()}
	case TypeAttach:
		m = &Attach{Gen: d.u32(), Previous: d.u32(), Name: d.str(), Host: d.str(), Port: d.u16()}
	case TypeDrop:
		m = &Drop{Reader: d.u32()}
	case TypeRelease:
		m = &Release{}
	case TypeStop:
		m = &Stop{Reason: d.str()}
	case TypePing:
		m = &Ping{}
	case TypeExpect:
		m = &Expect{Reader: d.u32(), Gen: d.u32(), From: d.u64()}
	case TypeReady:
		m = &Ready{Version: d.u16(), Port: d.u16(), Held: d.u64(), ChunkSize: d.u32()}
	case TypeSize:
		m = &Size{Bytes: d.u64()}
	case TypeResume:
		m = &Resume{From: d.u64()}
	case TypeHeld:
		m = &Held{First: d.u32(), Data: d.digests()}
	case TypeStatus:
		m = &Status{Received: d.u64(), Consumed: d.u64(), Oldest: d.u64(), Full: d.u8()&1 != 0,
			Period: d.u32(), Starved: d.u32(), Blocked: d.u32(), NoRoom: d.u32(), Sink: d.u32(), Verify: d.u32(), SinkRate: d.u64()}
	case TypeLost:
		m = &Lost{Gen: d.u32(), Kind: LostKind(d.u8()), Reason: d.str()}
	case TypeBad:
		m = &Bad{Chunk: d.u32(), Kind: BadKind(d.u8()), Previous: d.u32()}
	case TypeSinkFailed:
		m = &SinkFailed{Reason: d.str()}
	case TypeDone:
		m = &Done{Consumed: d.u64()}
	case TypeFailed:
		m = &Failed{Reason: d.str()}
	default:
		if t >= firstIgnorable {
			return nil, nil
		}
		return nil, violation("unknown control message %d", t)
	}
	if d.err != nil {
		return nil, violation("control message %d is too short or has a string that is too long", t)
	}
	return m, nil
}

// decoder takes fields from the front of a body; after the first that is not there
// it gives zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n > len(d.b) {
		d.err = io.ErrUnexpectedEOF
		return nil
	}
	f := d.b[:n]
	d.b = d.b[n:]
	return f
}

func (d *decoder) u8() uint8 {
	if f := d.take(1); f != nil {
		return f[0]
	}
	return 0
}

func (d *decoder) u16() uint16 {
	if f := d.take(2); f != nil {
		return be.Uint16(f)
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if f := d.take(4); f != nil {
		return be.Uint32(f)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if f := d.take(8); f != nil {
		return be.Uint64(f)
	}
	return 0
}

func (d *decoder) str() string {
	n := int(d.u16())
	if n > MaxString {
		d.err = io.ErrUnexpectedEOF
		return ""
	}
	return string(d.take(n))
}

func (d *decoder) digests() []byte {
	if len(d.b)%DigestSize != 0 {
		d.err = io.ErrUnexpectedEOF
		return nil
	}
	return d.take(len(d.b))
}
