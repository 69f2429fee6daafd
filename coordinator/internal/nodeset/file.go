package nodeset

import (
	"fmt"
	"strings"
)

// ParseFile reads the text of a node file: an expression on each line. Blank
// lines and what follows a # are ignored; a name may stand in it more than once
// (OAR writes one line per core). The result has each name once, in order.
func ParseFile(text string) ([]string, error) {
	var names []string
	seen := make(map[string]bool)
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		expanded, err := Expand(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		for _, name := range expanded {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
		if len(names) > MaxNodes {
			return nil, fmt.Errorf("line %d: %w", number, invalid(line, "the file names more than %d nodes", MaxNodes))
		}
	}
	return names, nil
}
