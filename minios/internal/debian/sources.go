package debian

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// readSources returns those source files of the machine's apt that carry the suite, by name.
// Other sources would only add places that can fail.
func readSources(etc, suite string) (map[string]string, error) {
	paths, err := filepath.Glob(filepath.Join(etc, "sources.list.d", "*"))
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, path := range append(paths, filepath.Join(etc, "sources.list")) {
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read package sources: %w", err)
		}
		var kept string
		switch filepath.Ext(path) {
		case ".sources":
			kept = keepStanzas(string(text), suite)
		case ".list":
			kept = keepLines(string(text), suite)
		}
		if kept != "" {
			found[filepath.Base(path)] = kept
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no package source in %s carries the suite %s: add one", etc, suite)
	}
	return found, nil
}

// keepStanzas keeps the paragraphs of a deb822 file whose Suites are the suite, or its updates (deb822(5), sources.list(5)).
func keepStanzas(text, suite string) string {
	var kept []string
	for _, stanza := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		for _, line := range strings.Split(stanza, "\n") {
			name, value, ok := strings.Cut(line, ":")
			if ok && strings.EqualFold(name, "Suites") && carries(strings.Fields(value), suite) {
				kept = append(kept, stanza)
				break
			}
		}
	}
	if len(kept) == 0 {
		return ""
	}
	return strings.Join(kept, "\n\n") + "\n"
}

// keepLines keeps the lines "deb [options] URI SUITE component..." of the suite.
func keepLines(text, suite string) string {
	var kept strings.Builder
	for _, line := range strings.Split(text, "\n") {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "[") {
			_, rest, _ = strings.Cut(rest, "]")
		}
		if fields := strings.Fields(rest); len(fields) >= 2 && carries(fields[1:2], suite) {
			kept.WriteString(line + "\n")
		}
	}
	return kept.String()
}

func carries(suites []string, suite string) bool {
	for _, s := range suites {
		if s == suite || s == suite+"-updates" || s == suite+"-security" {
			return true
		}
	}
	return false
}
