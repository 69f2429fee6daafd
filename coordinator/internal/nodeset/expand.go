// Package nodeset is about names of nodes: the short form head[1-3,7]tail of a
// set, its expansion and its inverse, the order in which names are shown, and
// which configured node a user means by a short name (contract 1.1). It is pure.
package nodeset

import (
	"fmt"
	"strconv"
	"strings"

	"kadeploy/coordinator/internal/apperr"
)

// MaxNodes bounds what one expression can expand to.
const MaxNodes = 100_000

// maxDigits bounds the numbers in brackets, so that they fit an int.
const maxDigits = 9

// Expand gives the names that an expression stands for, in its order. Sets are
// written head[1-3,7,09-12]tail: the bounds of a range that are equally wide keep
// their leading zeros. Several expressions can be joined by commas.
// Errors have the code INVALID_NODELIST.
func Expand(expr string) ([]string, error) {
	if i := strings.IndexFunc(expr, forbidden); i >= 0 {
		return nil, invalid(expr, "the character %q is not allowed in node names", []rune(expr[i:])[0])
	}
	terms, err := split(expr)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, term := range terms {
		expanded, err := expandTerm(term, MaxNodes-len(names))
		if err != nil {
			return nil, err
		}
		names = append(names, expanded...)
	}
	return names, nil
}

func forbidden(r rune) bool {
	return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune(".-[],", r))
}

func invalid(expr, format string, args ...any) error {
	return apperr.New(apperr.InvalidNodelist, "invalid node '%s': %s", shorten(expr), fmt.Sprintf(format, args...))
}

func shorten(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

// split cuts an expression at the commas outside brackets.
func split(expr string) ([]string, error) {
	var terms []string
	start, open := 0, false
	for i, c := range expr {
		switch {
		case c == '[' && open:
			return nil, invalid(expr, "brackets cannot stand within brackets")
		case c == ']' && !open:
			return nil, invalid(expr, "']' without '['")
		case c == '[' || c == ']':
			open = !open
		case c == ',' && !open:
			terms = append(terms, expr[start:i])
			start = i + 1
		}
	}
	if open {
		return nil, invalid(expr, "'[' without ']'")
	}
	terms = append(terms, expr[start:])
	for _, term := range terms {
		if term == "" {
			return nil, invalid(expr, "a name is empty")
		}
	}
	return terms, nil
}

func expandTerm(term string, limit int) ([]string, error) {
	names := []string{""}
	for rest := term; rest != ""; {
		head, after, found := strings.Cut(rest, "[")
		for i := range names {
			names[i] += head
		}
		if !found {
			break
		}
		list, tail, _ := strings.Cut(after, "]")
		numbers, err := expandList(list, limit/len(names))
		if err != nil {
			return nil, invalid(term, "%v", err)
		}
		product := make([]string, 0, len(names)*len(numbers))
		for _, name := range names {
			for _, number := range numbers {
				product = append(product, name+number)
			}
		}
		names, rest = product, tail
	}
	if len(names) > limit {
		return nil, invalid(term, "it stands for more than %d nodes", MaxNodes)
	}
	return names, nil
}

// expandList expands the inside of brackets: 1-3,7,09-12.
func expandList(list string, limit int) ([]string, error) {
	var all []string
	for item := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(item, "-")
		if !isRange {
			high = low
		}
		first, err := number(low)
		if err != nil {
			return nil, err
		}
		last, err := number(high)
		if err != nil {
			return nil, err
		}
		if first > last {
			return nil, fmt.Errorf("the range %s runs backwards", item)
		}
		if last-first >= limit-len(all) {
			return nil, fmt.Errorf("it stands for more than %d nodes", MaxNodes)
		}
		width := 0
		if len(low) == len(high) {
			width = len(low)
		}
		for n := first; n <= last; n++ {
			all = append(all, fmt.Sprintf("%0*d", width, n))
		}
	}
	return all, nil
}

func number(s string) (int, error) {
	if s == "" || len(s) > maxDigits || strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("'%s' is no number of 1 to %d digits, as must stand in brackets: [1-3,7]", s, maxDigits)
	}
	return strconv.Atoi(s)
}
