package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// screen is the standard error: messages, and below them on a terminal some lines that are
// drawn again and again.
type screen struct {
	to   io.Writer
	term *os.File // nil: not a terminal, or not to be drawn on

	mu    sync.Mutex
	lines []string // that are drawn
}

func newScreen(to io.Writer, plain bool) *screen {
	s := &screen{to: to}
	if f, ok := to.(*os.File); ok && !plain && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		s.term = f
	}
	return s
}

// Write prints messages above the drawn lines.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) == 0 {
		return s.to.Write(b)
	}
	var out bytes.Buffer
	s.erase(&out)
	out.Write(b)
	s.paint(&out)
	if _, err := s.to.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// draw replaces the drawn lines; those that are too long are cut, those that do not fit
// left out.
func (s *screen) draw(lines []string) {
	if s.term == nil {
		return
	}
	width, height, err := term.GetSize(int(s.term.Fd()))
	if err != nil || width < 2 || height < 2 {
		width, height = 80, 24
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out bytes.Buffer
	s.erase(&out)
	s.lines = fit(lines, width-1, height-1)
	s.paint(&out)
	s.to.Write(out.Bytes())
}

// fit cuts lines to a size in columns and rows. Names and reasons are taken as they are:
// what is no printing character is left out, so that nothing moves the cursor.
func fit(lines []string, width, height int) []string {
	lines = lines[:min(len(lines), height)]
	out := make([]string, len(lines))
	for i, line := range lines {
		runes := []rune(strings.Map(func(r rune) rune {
			if r < ' ' || r >= 0x7f && r < 0xa0 {
				return -1
			}
			return r
		}, line))
		if len(runes) > width {
			runes = append(runes[:width-1], '…')
		}
		out[i] = string(runes)
	}
	return out
}

// erase moves to the first drawn line and clears from there on.
func (s *screen) erase(out *bytes.Buffer) {
	if n := len(s.lines); n > 1 {
		fmt.Fprintf(out, "\r\x1b[%dA\x1b[J", n-1)
	} else if n == 1 {
		out.WriteString("\r\x1b[J")
	}
}

// paint leaves the cursor at the end of the last line.
func (s *screen) paint(out *bytes.Buffer) { out.WriteString(strings.Join(s.lines, "\n")) }
