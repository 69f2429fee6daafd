package launch

import (
	"bytes"
	"strings"
	"sync"
)

// said passes on line by line what ssh and the node's side print, and keeps the last line
// for error messages.
type said struct {
	each func(line string) // may be nil

	mu   sync.Mutex
	part []byte // of a line that has not ended
	last string
}

const maxLine = 4096

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for rest := b; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		if room := maxLine - len(s.part); room > 0 {
			s.part = append(s.part, line[:min(len(line), room)]...)
		}
		if ended {
			s.line()
		}
		rest = after
	}
	return len(b), nil
}

func (s *said) line() {
	line := strings.TrimRight(strings.ToValidUTF8(string(s.part), "?"), " \r\t")
	s.part = s.part[:0]
	if line == "" {
		return
	}
	s.last = line
	if s.each != nil {
		s.each(line)
	}
}

// lastLine is the last line that was not empty.
func (s *said) lastLine() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.part) > 0 {
		s.line()
	}
	return s.last
}
