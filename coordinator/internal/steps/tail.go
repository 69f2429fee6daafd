package steps

import (
	"errors"
	"io"
	"strings"
	"sync"
)

// Sizes of what is kept of a command's output, in bytes and lines.
const (
	keptBytes = 20000 // as the original keeps by default (contract 5.1, outputs_size)
	lastLines = 5
)

// tail keeps the end of what is written to it. It may be read meanwhile.
type tail struct {
	mu    sync.Mutex
	b     []byte
	taken int // how much of b was taken
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if excess := len(t.b) - keptBytes; excess > 0 {
		t.b = append(t.b[:0], t.b[excess:]...)
		t.taken = max(t.taken-excess, 0)
	}
	return len(p), nil
}

// take returns what was written since it was called last; String is not changed by it.
func (t *tail) take() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := string(t.b[t.taken:])
	t.taken = len(t.b)
	return text
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}

// last is the end of what a command printed, its errors if there are any, for
// the end of a message.
func last(stdout, stderr *tail) string {
	text := strings.TrimSpace(stderr.String())
	if text == "" {
		text = strings.TrimSpace(stdout.String())
	}
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	return ": " + strings.Join(lines[max(0, len(lines)-lastLines):], " | ")
}

// ended makes the orderly end of a stream no error.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
