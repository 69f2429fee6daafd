package wire

import "encoding/binary"

// be is the byte order of the protocol.
var be = binary.BigEndian

// Append appends m as it stands on the link: length, type, body. Strings longer than
// MaxString are cut.
func Append(b []byte, m Message) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0, byte(m.Type()))
	b = m.append(b)
	be.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

func appendString(b []byte, s string) []byte {
	s = Clip(s)
	return append(be.AppendUint16(b, uint16(len(s))), s...)
}

func (m *Start) append(b []byte) []byte {
	b = be.AppendUint16(b, m.Version)
	b = be.AppendUint32(b, m.Self)
	b = be.AppendUint32(b, m.Nodes)
	b = be.AppendUint64(b, m.Size)
	b = be.AppendUint32(b, m.ChunkSize)
	b = be.AppendUint64(b, m.Window)
	b = be.AppendUint32(b, m.DeadAfter)
	b = append(b, m.Key[:]...)
	b = appendString(b, m.Name)
	b = appendString(b, m.HeadHost)
	b = be.AppendUint16(b, m.HeadPort)
	return append(b, byte(m.Options))
}

func (m *Digests) append(b []byte) []byte {
	return append(be.AppendUint32(b, m.First), m.Data...)
}

func (m *Attach) append(b []byte) []byte {
	b = be.AppendUint32(b, m.Gen)
	b = be.AppendUint32(b, m.Previous)
	b = appendString(b, m.Name)
	b = appendString(b, m.Host)
	return be.AppendUint16(b, m.Port)
}

func (m *Drop) append(b []byte) []byte    { return be.AppendUint32(b, m.Reader) }
func (m *Release) append(b []byte) []byte { return b }
func (m *Stop) append(b []byte) []byte    { return appendString(b, m.Reason) }
func (m *Ping) append(b []byte) []byte    { return b }

func (m *Expect) append(b []byte) []byte {
	b = be.AppendUint32(b, m.Reader)
	b = be.AppendUint32(b, m.Gen)
	return be.AppendUint64(b, m.From)
}

func (m *Size) append(b []byte) []byte   { return be.AppendUint64(b, m.Bytes) }
func (m *Resume) append(b []byte) []byte { return be.AppendUint64(b, m.From) }

func (m *Held) append(b []byte) []byte {
	return append(be.AppendUint32(b, m.First), m.Data...)
}

func (m *Ready) append(b []byte) []byte {
	b = be.AppendUint16(b, m.Version)
	b = be.AppendUint16(b, m.Port)
	b = be.AppendUint64(b, m.Held)
	return be.AppendUint32(b, m.ChunkSize)
}

func (m *Status) append(b []byte) []byte {
	b = be.AppendUint64(b, m.Received)
	b = be.AppendUint64(b, m.Consumed)
	b = be.AppendUint64(b, m.Oldest)
	var flags byte
	if m.Full {
		flags = 1
	}
	b = append(b, flags)
	for _, micros := range [...]uint32{m.Period, m.Starved, m.Blocked, m.NoRoom, m.Sink, m.Verify} {
		b = be.AppendUint32(b, micros)
	}
	return be.AppendUint64(b, m.SinkRate)
}

func (m *Lost) append(b []byte) []byte {
	b = be.AppendUint32(b, m.Gen)
	b = append(b, byte(m.Kind))
	return appendString(b, m.Reason)
}

func (m *Bad) append(b []byte) []byte {
	b = be.AppendUint32(b, m.Chunk)
	b = append(b, byte(m.Kind))
	return be.AppendUint32(b, m.Previous)
}

func (m *SinkFailed) append(b []byte) []byte { return appendString(b, m.Reason) }
func (m *Done) append(b []byte) []byte       { return be.AppendUint64(b, m.Consumed) }
func (m *Failed) append(b []byte) []byte     { return appendString(b, m.Reason) }
