package kascade

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// Limits of a topology file.
const (
	maxTopologyLine  = 1 << 20
	maxTopologyNames = 65535 // as many as a chain has nodes
)

// ParseTopology reads the order of a chain from a topology file, which name is for
// messages. Each line is a group of nodes that are near each other, such as those of one
// switch: its name, a colon, and its nodes, or its nodes alone. Nodes are separated by
// commas or blanks, and node-[1-4,07-11] stands for several. A group without nodes is a
// heading for those that follow; "#" begins a comment; indentation means nothing. The
// chain takes the nodes as they are written, so each link between two groups is crossed once.
func ParseTopology(r io.Reader, name string) (order []string, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxTopologyLine)
	seen := map[string]int{} // name of a node: its line
	number := 0
	for lines.Scan() {
		number++
		fail := func(err error) error { return fmt.Errorf("%s, line %d: %w", name, number, err) }
		text, _, _ := strings.Cut(lines.Text(), "#")
		if group, nodes, ok := strings.Cut(text, ":"); ok {
			if strings.TrimSpace(group) == "" {
				return nil, fail(fmt.Errorf("no name of a group before the colon: write \"switch-1: node-[1-4]\", or nodes alone"))
			}
			text = nodes
		}
		words, err := splitNodes(text)
		if err != nil {
			return nil, fail(err)
		}
		for _, word := range words {
			nodes, err := expandNodes(word, maxTopologyNames-len(order))
			if err != nil {
				return nil, fail(err)
			}
			for _, node := range nodes {
				if before := seen[node]; before != 0 {
					return nil, fail(fmt.Errorf("%s stands in line %d already: name each node once", node, before))
				}
				seen[node] = number
				order = append(order, node)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s, line %d: %w", name, number+1, err)
	}
	return order, nil
}

// splitNodes cuts text at commas and blanks that are not within brackets.
func splitNodes(text string) ([]string, error) {
	inside := false
	words := strings.FieldsFunc(text, func(c rune) bool {
		switch c {
		case '[':
			inside = true
		case ']':
			inside = false
		}
		return !inside && (c == ',' || unicode.IsSpace(c))
	})
	if inside {
		return nil, fmt.Errorf("%q: a bracket is not closed", strings.TrimSpace(text))
	}
	for _, w := range words {
		for _, c := range w {
			if c == ':' || unicode.IsControl(c) || c == unicode.ReplacementChar {
				return nil, fmt.Errorf("%q is not the name of a node", w)
			}
		}
	}
	return words, nil
}

// expandNodes is the names that node-[1-4,07-11].site stands for, at most limit; any
// number of brackets, the last counts fastest.
func expandNodes(word string, limit int) ([]string, error) {
	before, rest, ok := strings.Cut(word, "[")
	if !ok {
		if strings.Contains(word, "]") {
			return nil, fmt.Errorf("%q: a bracket is not opened", word)
		}
		if limit < 1 {
			return nil, fmt.Errorf("%q: more than %d nodes", word, maxTopologyNames)
		}
		return []string{word}, nil
	}
	list, after, ok := strings.Cut(rest, "]")
	if !ok || strings.Contains(before, "]") {
		return nil, fmt.Errorf("%q: brackets do not match", word)
	}
	var numbers []string
	for part := range strings.SplitSeq(list, ",") {
		more, err := expandRange(strings.TrimSpace(part), limit-len(numbers))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", word, err)
		}
		numbers = append(numbers, more...)
	}
	tails, err := expandAfter(after, limit/max(1, len(numbers)))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(numbers)*len(tails))
	for _, n := range numbers {
		for _, tail := range tails {
			names = append(names, before+n+tail)
		}
	}
	return names, nil
}

func expandAfter(after string, limit int) ([]string, error) {
	if after == "" {
		return []string{""}, nil
	}
	return expandNodes(after, limit)
}

// expandRange is the numbers from "1" or "07-11", with as many digits as the first has.
func expandRange(part string, limit int) ([]string, error) {
	low, high, isRange := strings.Cut(part, "-")
	if !isRange {
		high = low
	}
	first, err1 := strconv.ParseUint(low, 10, 32)
	last, err2 := strconv.ParseUint(high, 10, 32)
	if err1 != nil || err2 != nil || first > last {
		return nil, fmt.Errorf("%q is no range: write [1-4] or [1,3]", part)
	}
	if int64(last-first) >= int64(limit) {
		return nil, fmt.Errorf("more than %d nodes", maxTopologyNames)
	}
	var numbers []string
	for n := first; n <= last; n++ {
		numbers = append(numbers, fmt.Sprintf("%0*d", len(low), n))
	}
	return numbers, nil
}
