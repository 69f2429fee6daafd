package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Widths of the list's columns, and of a line (contract 1.6).
const (
	nameWidth        = 21
	versionWidth     = 7
	userWidth        = 11
	descriptionWidth = 35
	lineWidth        = 80
)

// listing is the list of environments: two lines of headers, then one for each.
func listing(all []registered) string {
	if len(all) == 0 {
		return "No environment has been found\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s %-*s %-*s %s\n", nameWidth, "Name", versionWidth, "Version", userWidth, "User", "Description")
	hashes := func(n int) string { return strings.Repeat("#", n) }
	fmt.Fprintf(&b, "%-*s %-*s %-*s %s\n", nameWidth, hashes(4), versionWidth, hashes(7), userWidth, hashes(4), hashes(11))
	for _, e := range all {
		head := fmt.Sprintf("%-*s %-*d %-*s ", nameWidth, e.Name, versionWidth, e.Version, userWidth, e.User)
		line := head + cut(e.Description.Description, max(lineWidth-utf8.RuneCountInString(head), 3))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// cut shortens a text to a number of characters, the last of them being dots.
func cut(text string, width int) string {
	runes := []rune(strings.ReplaceAll(text, "\n", " "))
	if len(runes) <= width {
		return string(runes)
	}
	return string(runes[:width-3]) + "..."
}
