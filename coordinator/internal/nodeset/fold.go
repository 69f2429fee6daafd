package nodeset

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Fold is the short form of a set of names, for messages: node-[1-3].lab,x.lab.
// Expand of it gives the names back, each once, in natural order within a group.
func Fold(names []string) string {
	names = slices.Clone(names)
	Sort(names)
	names = slices.Compact(names)

	type key struct {
		head, tail string
		numbered   bool
	}
	var order []key
	groups := make(map[key][]string)
	for _, name := range names {
		head, digits, tail := cut(name)
		k := key{head, tail, digits != ""}
		if _, seen := groups[k]; !seen {
			order = append(order, k)
		}
		groups[k] = append(groups[k], digits)
	}
	folded := make([]string, len(order))
	for i, k := range order {
		folded[i] = k.head + brackets(groups[k]) + k.tail
	}
	return strings.Join(folded, ",")
}

// cut finds the number that tells a node from its neighbours: the last one of
// the first label (graphene-12.nancy has 12; r1c2.lab has 2).
func cut(name string) (head, digits, tail string) {
	label, _, _ := strings.Cut(name, ".")
	end := strings.LastIndexAny(label, "0123456789") + 1
	start := end
	for start > 0 && isDigit(label[start-1]) {
		start--
	}
	if end-start > maxDigits {
		return name, "", "" // not a number that Expand takes
	}
	return name[:start], name[start:end], name[end:]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

type span struct{ first, last string }

// brackets is the list in brackets, or the number itself if there is only one.
func brackets(digits []string) string {
	if len(digits) == 1 {
		return digits[0]
	}
	slices.SortFunc(digits, func(a, b string) int {
		return cmp.Or(cmp.Compare(value(a), value(b)), cmp.Compare(len(a), len(b)))
	})
	var spans []span
	for _, d := range digits {
		if n := len(spans); n > 0 && spans[n-1].extends(d) {
			spans[n-1].last = d
		} else {
			spans = append(spans, span{d, d})
		}
	}
	parts := make([]string, len(spans))
	for i, s := range spans {
		parts[i] = s.first
		if s.last != s.first {
			parts[i] = fmt.Sprintf("%s-%s", s.first, s.last)
		}
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// extends tells whether the range from s.first to d expands to what it must:
// either all are equally wide, or none has leading zeros.
func (s span) extends(d string) bool {
	if value(d) != value(s.last)+1 {
		return false
	}
	return len(d) == len(s.first) || s.first[0] != '0' && d[0] != '0'
}

func value(digits string) int {
	n, _ := strconv.Atoi(digits) // cut gives digits only, and few
	return n
}
