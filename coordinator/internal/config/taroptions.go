package config

import (
	"slices"
	"strings"

	"kadeploy/coordinator/internal/tree"
)

// extractedSo are the options of GNU tar that say what the nodes' agents do in any case.
var extractedSo = []string{
	"-p", "--preserve-permissions", "--same-permissions", "--same-owner", "--numeric-owner", "-s", "--preserve-order", "--same-order",
	"--acls", "--xattrs", "--selinux", "-S", "--sparse", "-x", "--extract", "--overwrite",
	"-i", "--ignore-zeros", "--delay-directory-restore", "-b", "--blocking-factor", "--force-local", "--no-recursion",
	"-v", "--verbose", "--checkpoint", "--warning", "--totals",
}

// tarOptions warns of the options in external.tar that would change what is on the
// disk afterwards: archives are extracted by the agents, whole and as they are.
func (f *file) tarOptions(n *tree.Node) {
	var others []string
	for _, word := range strings.Fields(n.String("")) {
		name, value, _ := strings.Cut(word, "=")
		switch {
		case slices.Contains(extractedSo, name):
		case name == "--xattrs-include" && (value == "*" || value == "'*'" || value == `"*"`):
		case !strings.HasPrefix(word, "-") && strings.Trim(word, "xpsSiv") == "": // the old way to write them
		default:
			others = append(others, word)
		}
	}
	if len(others) > 0 {
		f.warn(n, "%s: without effect. The nodes' agents extract archives themselves, whole, with numeric owners, modes, times, links, ACLs and attributes: make the image as it is wanted",
			strings.Join(others, " "))
	}
}
