package command

import (
	"strings"
	"sync"
)

// Bounds of what is kept of a program's output for an error message.
const (
	tailBytes = 2 << 10
	tailLines = 10
)

// tail keeps the last bytes of both outputs of a program, in the order in which they came.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*tailBytes {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailBytes:]...)
	}
}

// String returns the last lines, in valid UTF-8 and joined by " | ": gRPC
// carries a message on one line, and users read it on one.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.buf
	if len(b) > tailBytes {
		b = b[len(b)-tailBytes:]
	}
	var lines []string
	for line := range strings.FieldsFuncSeq(strings.ToValidUTF8(string(b), "?"), isLineEnd) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return strings.Join(lines, " | ")
}

func isLineEnd(r rune) bool { return r == '\n' || r == '\r' }
