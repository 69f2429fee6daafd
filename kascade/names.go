package kascade

import "kadeploy/kascade/internal/chain"

// CompareNames orders names as people do, so that node-9 stands before node-10. It is the
// chain's order unless the caller gives another.
func CompareNames(a, b string) int {
	switch {
	case chain.NaturalLess(a, b):
		return -1
	case chain.NaturalLess(b, a):
		return 1
	}
	return 0
}
