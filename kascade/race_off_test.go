//go:build !race

package kascade

// patience multiplies the times of tests.
const patience = 1
