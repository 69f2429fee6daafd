package nodeset

import (
	"cmp"
	"slices"
	"strings"
)

// Sort puts names, in place, in the order in which they are shown, and returns them.
func Sort(names []string) []string {
	slices.SortFunc(names, Compare)
	return names
}

// Compare orders two names naturally: domain first, that is, label by label from
// the last to the first, and numbers by their value (node-2.lab before node-10.lab).
func Compare(a, b string) int {
	for x, y := a, b; x != "" || y != ""; {
		var labelX, labelY string
		x, labelX = lastLabel(x)
		y, labelY = lastLabel(y)
		if c := compareLabel(labelX, labelY); c != 0 {
			return c
		}
	}
	return strings.Compare(a, b)
}

func lastLabel(name string) (rest, label string) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}

func compareLabel(a, b string) int {
	for a != "" && b != "" {
		if isDigit(a[0]) && isDigit(b[0]) {
			var x, y string
			x, a = digits(a)
			y, b = digits(b)
			if c := cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y)); c != 0 {
				return c
			}
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits cuts the leading number off, without its leading zeros: so longer is greater.
func digits(s string) (number, rest string) {
	end := 0
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	return strings.TrimLeft(s[:end], "0"), s[end:]
}
