// Package wire turns the messages of SPEC.md into bytes and back: control
// messages (section 4), and the handshake and chunk headers of data connections
// (section 5). It bounds every length before it allocates. It never opens
// connections and decides nothing.
package wire

import "fmt"

// Version is the version of the protocol.
const Version = 1

// HeadID stands for the head where a node's number is expected.
const HeadID = 0xFFFFFFFF

// UnknownSize stands in START and FOLLOW for the size of a source whose end is not known.
const UnknownSize = 1<<64 - 1

// Limits (SPEC, section 2).
const (
	MaxMessage = 1 << 20 // bytes of a control message, type and body
	MaxString  = 4096    // bytes of a string
	MaxNodes   = 65535
	DigestSize = 32
	KeySize    = 32
	// MaxDigests is how many digests one DIGESTS message takes.
	MaxDigests = 8192
)

// ProtocolError is a violation of the protocol by the other side.
type ProtocolError struct{ What string }

func (e *ProtocolError) Error() string { return "protocol error: " + e.What }

func violation(format string, a ...any) error {
	return &ProtocolError{fmt.Sprintf(format, a...)}
}
