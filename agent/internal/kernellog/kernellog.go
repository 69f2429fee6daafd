// Package kernellog reads the kernel's log, in which the kernel, its drivers and
// the agent itself write what happens on a node.
package kernellog

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Actions of syslog(2), which the package unix has no names for.
const (
	readAll    = 3  // SYSLOG_ACTION_READ_ALL: the last bytes, without taking them
	bufferSize = 10 // SYSLOG_ACTION_SIZE_BUFFER
)

// Tail is the last whole lines of the log, at most limit bytes of it, without
// the priorities: "[   12.345678] text".
func Tail(limit int) (string, error) {
	size, err := unix.Klogctl(bufferSize, nil)
	if err != nil {
		return "", fmt.Errorf("size of the kernel's log: %w", err)
	}
	buf := make([]byte, size)
	n, err := unix.Klogctl(readAll, buf)
	if err != nil {
		return "", fmt.Errorf("read the kernel's log: %w", err)
	}
	return last(plain(buf[:n]), limit), nil
}

// plain drops the priority in front of each line: "<5>".
func plain(log []byte) string {
	var b strings.Builder
	for line := range bytes.Lines(log) {
		if rest, ok := bytes.CutPrefix(line, []byte("<")); ok {
			if _, text, ok := bytes.Cut(rest, []byte(">")); ok {
				line = text
			}
		}
		b.Write(line)
	}
	return strings.ToValidUTF8(strings.TrimRight(b.String(), "\n"), "?")
}

// last cuts a text to its last whole lines.
func last(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	text = text[len(text)-limit:]
	if _, whole, ok := strings.Cut(text, "\n"); ok {
		return whole
	}
	return text
}
