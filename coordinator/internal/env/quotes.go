package env

import "strings"

// closed refuses a line of which a shell would not see the end: a quote that is not
// closed, or a backslash with nothing behind it.
func closed(field, line string) *Error {
	switch open := openQuote(line); open {
	case 0:
		return nil
	case '\\':
		return &Error{Field: field, Reason: `Invalid value, it ends in a backslash: write \\ for the character itself`}
	default:
		return &Error{Field: field, Reason: "Invalid value, the quote " + string(open) + ` is not closed: close it, or write \` + string(open) + " for the character itself"}
	}
}

// openQuote is the quote that is open at the end of a line, as bash reads it, or a
// backslash that would join the next line; 0: the line is whole. Quotes inside of
// commands inside of quotes are left to bash.
func openQuote(line string) byte {
	if strings.Contains(line, "$(") || strings.Contains(line, "`") {
		return 0
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\':
			if i++; i == len(line) {
				return '\\'
			}
		case c == '#' && (i == 0 || strings.IndexByte(" \t;&|()", line[i-1]) >= 0):
			return 0 // the rest is a comment
		case c == '\'' || c == '"':
			escapes := c == '"' || i > 0 && line[i-1] == '$' // $'...'
			if i = endOfQuote(line, i+1, c, escapes); i < 0 {
				return c
			}
		}
	}
	return 0
}

// endOfQuote is where the quote that began before at is closed; -1: nowhere.
func endOfQuote(line string, at int, quote byte, escapes bool) int {
	for ; at < len(line); at++ {
		switch {
		case line[at] == '\\' && escapes:
			at++
		case line[at] == quote:
			return at
		}
	}
	return -1
}
