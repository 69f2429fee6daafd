package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
)

// Sizes of what stands on a data connection, in bytes.
const (
	HelloSize   = 24
	RequestSize = 76
	AnswerSize  = 48
	HeaderSize  = 12

	nonceSize = 16
	macSize   = 32
)

// ErrNotProved means that the other side does not know the chain's key.
var ErrNotProved = errors.New("the other side does not know the key of this chain")

// RequestKind is what a reader asks for.
type RequestKind uint8

// Kinds of requests.
const (
	Follow RequestKind = 1
	Gap    RequestKind = 2
	Chunk  RequestKind = 3
)

// AnswerStatus is what a listener replies.
type AnswerStatus uint8

// Statuses of answers.
const (
	OK      AnswerStatus = 0
	Refused AnswerStatus = 1
	Changed AnswerStatus = 2
	Gone    AnswerStatus = 3
)

// Request is what a reader asks for.
type Request struct {
	Kind     RequestKind
	Reader   uint32
	Gen      uint32 // of Follow: that of the order that the reader obeys
	From, To uint64
}

// Answer tells from where the stream goes on.
type Answer struct {
	Status AnswerStatus
	Start  uint64
}

// Handshake makes and checks the three messages at the start of a data connection;
// one side of one connection.
type Handshake struct {
	key   []byte
	hello [HelloSize]byte
	req   [RequestSize]byte
}

// NewHandshake knows the chain's key.
func NewHandshake(key []byte) *Handshake { return &Handshake{key: key} }

// Bind makes the handshake one of exactly the TLS session whose keying material is given:
// what is proved in it is worth nothing in another.
func (h *Handshake) Bind(exporter []byte) {
	h.key = h.mac("kascade session", exporter)
}

// Hello is the listener's first message.
func (h *Handshake) Hello(nonce [nonceSize]byte) []byte {
	copy(h.hello[:], "KSC1")
	be.PutUint16(h.hello[4:], Version)
	copy(h.hello[8:], nonce[:])
	return h.hello[:]
}

// ReadHello checks the listener's first message.
func (h *Handshake) ReadHello(b []byte) error {
	if len(b) != HelloSize || string(b[:4]) != "KSC1" {
		return violation("not the data port of a chain")
	}
	if v := be.Uint16(b[4:]); v != Version {
		return violation("data port speaks version %d, this node %d", v, Version)
	}
	copy(h.hello[:], b)
	return nil
}

// Request is the reader's message.
func (h *Handshake) Request(r Request, nonce [nonceSize]byte) []byte {
	b := h.req[:]
	be.PutUint16(b, Version)
	b[2], b[3] = byte(r.Kind), 0
	be.PutUint32(b[4:], r.Reader)
	be.PutUint32(b[8:], r.Gen)
	be.PutUint64(b[12:], r.From)
	be.PutUint64(b[20:], r.To)
	copy(b[28:], nonce[:])
	copy(b[44:], h.mac("kascade request", h.hello[:], b[:44]))
	return b
}

// ReadRequest checks the reader's message.
func (h *Handshake) ReadRequest(b []byte) (Request, error) {
	if len(b) != RequestSize {
		return Request{}, violation("request of %d bytes", len(b))
	}
	if !hmac.Equal(b[44:], h.mac("kascade request", h.hello[:], b[:44])) {
		return Request{}, ErrNotProved
	}
	if v := be.Uint16(b); v != Version {
		return Request{}, violation("reader speaks version %d, this node %d", v, Version)
	}
	copy(h.req[:], b)
	r := Request{Kind: RequestKind(b[2]), Reader: be.Uint32(b[4:]), Gen: be.Uint32(b[8:]), From: be.Uint64(b[12:]), To: be.Uint64(b[20:])}
	if r.From > r.To {
		return Request{}, violation("request from byte %d to %d", r.From, r.To)
	}
	return r, nil
}

// Answer is the listener's second message.
func (h *Handshake) Answer(a Answer) []byte {
	b := make([]byte, AnswerSize)
	b[0] = byte(a.Status)
	be.PutUint64(b[8:], a.Start)
	copy(b[16:], h.mac("kascade answer", h.hello[:], h.req[:], b[:16]))
	return b
}

// ReadAnswer checks the listener's second message.
func (h *Handshake) ReadAnswer(b []byte) (Answer, error) {
	if len(b) != AnswerSize {
		return Answer{}, violation("answer of %d bytes", len(b))
	}
	if !hmac.Equal(b[16:], h.mac("kascade answer", h.hello[:], h.req[:], b[:16])) {
		return Answer{}, ErrNotProved
	}
	return Answer{Status: AnswerStatus(b[0]), Start: be.Uint64(b[8:])}, nil
}

func (h *Handshake) mac(label string, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, h.key)
	m.Write([]byte(label))
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// Header stands before each chunk.
type Header struct {
	Chunk  uint32
	Length uint32 // of the payload
	CRC    uint32 // of the payload
	Packed bool   // the payload is compressed
}

// packed is the bit of the length that says so; lengths are much smaller.
const packed = 1 << 31

// NoChunk is the number in a header that belongs to no chunk and says that the stream's
// end is near: the last chunk, if there is one that is not full, comes next. It has no
// payload.
const NoChunk = 0xFFFFFFFF

// Put writes the header into b, which has HeaderSize bytes.
func (h Header) Put(b []byte) {
	be.PutUint32(b, h.Chunk)
	length := h.Length
	if h.Packed {
		length |= packed
	}
	be.PutUint32(b[4:], length)
	be.PutUint32(b[8:], h.CRC)
}

// ReadHeader is the header in b, which has HeaderSize bytes.
func ReadHeader(b []byte) Header {
	length := be.Uint32(b[4:])
	return Header{Chunk: be.Uint32(b), Length: length &^ packed, CRC: be.Uint32(b[8:]), Packed: length&packed != 0}
}
