//go:build race

package kascade

// patience multiplies the times of tests: the race detector makes everything slower.
const patience = 5
