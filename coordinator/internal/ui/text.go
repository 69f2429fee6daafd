package ui

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Colours (ECMA-48 SGR).
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
	dim    = "2"
)

// painter colours text, or leaves it as it is.
func painter(color bool) func(code, text string) string {
	if !color {
		return func(_, text string) string { return text }
	}
	return func(code, text string) string { return "\x1b[" + code + "m" + text + "\x1b[0m" }
}

// Clip cuts a line to a number of columns. Colour sequences take none, and a
// colour is ended where the line is cut. What would move the cursor is left out.
func Clip(line string, columns int) string {
	if columns < 1 {
		return ""
	}
	var b strings.Builder
	used, coloured := 0, false
	for rest := line; rest != ""; {
		if seq := sequence(rest); seq != "" {
			b.WriteString(seq)
			coloured = seq != "\x1b[0m"
			rest = rest[len(seq):]
			continue
		}
		r, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
		if unicode.IsControl(r) {
			continue
		}
		if used == columns-1 && visible(rest) {
			b.WriteRune('…')
			break
		}
		b.WriteRune(r)
		used++
	}
	if coloured {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// visible tells whether anything of the text takes a column.
func visible(s string) bool {
	for s != "" {
		if seq := sequence(s); seq != "" {
			s = s[len(seq):]
			continue
		}
		return true
	}
	return false
}

// sequence is the colour sequence that s starts with: ESC [ digits and ; m.
func sequence(s string) string {
	if !strings.HasPrefix(s, "\x1b[") {
		return ""
	}
	end := strings.IndexByte(s, 'm')
	if end < 0 || strings.Trim(s[2:end], "0123456789;") != "" {
		return ""
	}
	return s[:end+1]
}
