package wire

import "unicode/utf8"

// Type is the number of a control message.
type Type uint8

// Types of control messages. Those of the head are below 64.
const (
	TypeStart      Type = 1
	TypeDigests    Type = 2
	TypeAttach     Type = 3
	TypeDrop       Type = 4
	TypeRelease    Type = 5
	TypeStop       Type = 6
	TypePing       Type = 7
	TypeExpect     Type = 8
	TypeSize       Type = 9
	TypeResume     Type = 10
	TypeReady      Type = 65
	TypeStatus     Type = 66
	TypeLost       Type = 67
	TypeBad        Type = 68
	TypeSinkFailed Type = 69
	TypeDone       Type = 70
	TypeFailed     Type = 71
	TypeHeld       Type = 72

	firstIgnorable Type = 128
)

// Message is one control message.
type Message interface {
	Type() Type
	append(b []byte) []byte
}

// Start tells a node all that it needs to take part.
type Start struct {
	Version   uint16
	Self      uint32
	Nodes     uint32
	Size      uint64 // or UnknownSize
	ChunkSize uint32
	Window    uint64 // bytes
	DeadAfter uint32 // milliseconds
	Key       [KeySize]byte
	Name      string
	HeadHost  string
	HeadPort  uint16
	Options   StartOptions
}

// StartOptions are flags of START.
type StartOptions uint8

// Flags of START.
const (
	NoVerify   StartOptions = 1 // no digests, no CRC
	Compressed StartOptions = 2 // chunks may be compressed
	Encrypted  StartOptions = 4 // TLS on data connections
)

// Digests are the BLAKE3 digests of the chunks from First on.
type Digests struct {
	First uint32
	Data  []byte // a multiple of DigestSize; aliases the read buffer until the next read
}

// Attach names a node's new previous.
type Attach struct {
	Gen      uint32
	Previous uint32
	Name     string
	Host     string
	Port     uint16
}

// Drop says that a reader will not come back.
type Drop struct{ Reader uint32 }

// Release ends a node's part well.
type Release struct{}

// Stop ends a node's part with a reason.
type Stop struct{ Reason string }

// Ping shows that the head lives.
type Ping struct{}

// Expect announces a reader.
type Expect struct {
	Reader, Gen uint32
	From        uint64
}

// Size tells where a source ends whose size was not known.
type Size struct{ Bytes uint64 }

// Resume tells a node how much of what it holds is right.
type Resume struct{ From uint64 }

// Ready says that the data port is open. With Held the node says that it holds so many
// leading bytes, and Held messages follow.
type Ready struct {
	Version   uint16
	Port      uint16
	Held      uint64
	ChunkSize uint32 // of what is held
}

// Held are digests of the chunks from First on that a node holds.
type Held struct {
	First uint32
	Data  []byte // as in Digests
}

// Status is how far a node is, and what it spent its time with since its last STATUS.
type Status struct {
	Received, Consumed, Oldest uint64
	Full                       bool
	// Times in microseconds. Starved, Blocked and NoRoom are those of the one that reads
	// and passes on: it waits for one of them at a time.
	Period   uint32 // since the last STATUS
	Starved  uint32 // nothing came from the previous
	Blocked  uint32 // the successor took nothing
	NoRoom   uint32 // not read, as the window was full or the successor was waited for
	Sink     uint32 // in the sink's Write
	Verify   uint32 // in hashing and decompressing
	SinkRate uint64 // bytes per second of Sink; 0: it was not used
}

// LostKind tells at which point a node lost its previous.
type LostKind uint8

// Kinds of LOST.
const (
	LostDial      LostKind = 1
	LostHandshake LostKind = 2
	LostRead      LostKind = 3
	LostProtocol  LostKind = 4
	LostGone      LostKind = 5
)

// Lost reports a previous that does not deliver.
type Lost struct {
	Gen    uint32
	Kind   LostKind
	Reason string
}

// BadKind tells which check of a chunk failed.
type BadKind uint8

// Kinds of BAD.
const (
	BadCRC    BadKind = 1
	BadDigest BadKind = 2
)

// Bad reports a damaged chunk.
type Bad struct {
	Chunk    uint32
	Kind     BadKind
	Previous uint32
}

// SinkFailed says why the node's sink failed; the node goes on relaying.
type SinkFailed struct{ Reason string }

// Done says that everything was verified, consumed and committed.
type Done struct{ Consumed uint64 }

// Failed says why the node cannot take part any more.
type Failed struct{ Reason string }

func (*Start) Type() Type      { return TypeStart }
func (*Digests) Type() Type    { return TypeDigests }
func (*Attach) Type() Type     { return TypeAttach }
func (*Drop) Type() Type       { return TypeDrop }
func (*Release) Type() Type    { return TypeRelease }
func (*Stop) Type() Type       { return TypeStop }
func (*Ping) Type() Type       { return TypePing }
func (*Expect) Type() Type     { return TypeExpect }
func (*Size) Type() Type       { return TypeSize }
func (*Resume) Type() Type     { return TypeResume }
func (*Ready) Type() Type      { return TypeReady }
func (*Held) Type() Type       { return TypeHeld }
func (*Status) Type() Type     { return TypeStatus }
func (*Lost) Type() Type       { return TypeLost }
func (*Bad) Type() Type        { return TypeBad }
func (*SinkFailed) Type() Type { return TypeSinkFailed }
func (*Done) Type() Type       { return TypeDone }
func (*Failed) Type() Type     { return TypeFailed }

// Clip cuts s to the longest string that the protocol carries, between characters.
func Clip(s string) string {
	if len(s) <= MaxString {
		return s
	}
	n := MaxString
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
