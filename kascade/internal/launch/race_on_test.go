//go:build race

package launch

const patience = 4 // times as long as without the race detector
