package manifest

import (
	"fmt"
	"regexp"
	"strings"
)

// Pattern matches paths: * stands for anything but a slash, ** for anything.
type Pattern struct{ re *regexp.Regexp }

// Compile reads a pattern; any text is one.
func Compile(text string) (Pattern, error) {
	var b strings.Builder
	b.WriteString("^")
	for rest := text; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "**"):
			b.WriteString(".*")
			rest = rest[2:]
		case rest[0] == '*':
			b.WriteString("[^/]*")
			rest = rest[1:]
		default:
			next := strings.IndexByte(rest, '*')
			if next < 0 {
				next = len(rest)
			}
			b.WriteString(regexp.QuoteMeta(rest[:next]))
			rest = rest[next:]
		}
	}
	b.WriteString("$")
	re, err := regexp.Compile(b.String())
	if err != nil {
		return Pattern{}, fmt.Errorf("pattern %q: %w", text, err)
	}
	return Pattern{re}, nil
}

// Match reports whether the whole of path matches.
func (p Pattern) Match(path string) bool { return p.re.MatchString(path) }
