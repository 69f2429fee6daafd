//go:build !race

package launch

const patience = 1
