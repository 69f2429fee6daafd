package kascade

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"kadeploy/kascade/internal/chain"
)

// SlowMode is what is done about a node that holds up its chain.
type SlowMode uint8

// Modes.
const (
	SlowSide SlowMode = iota // "side": it goes on from the head at its own pace, and the others without it
	SlowWait                 // "wait": it is only named; the chain waits for it
	SlowDrop                 // "drop": it fails
)

var slowModes = [...]string{"side", "wait", "drop"}

func (m SlowMode) String() string { return slowModes[m] }

// ParseSlowMode reads what String gives.
func ParseSlowMode(s string) (SlowMode, error) {
	i := slices.Index(slowModes[:], s)
	if i < 0 {
		return 0, fmt.Errorf("%q: slow nodes can be treated as side, wait or drop", s)
	}
	return SlowMode(i), nil
}

// Defaults of Slow.
const (
	DefaultSlowShare    = 0.5
	DefaultSlowPatience = 3 * time.Second
)

// Slow says when a node counts as slow, and what is done about it; the zero value is good.
type Slow struct {
	Mode     SlowMode
	Share    float64       // of the rate that the others could sustain, below 1; 0: DefaultSlowShare
	Patience time.Duration // how long it may hold up the chain; 0: DefaultSlowPatience
}

// SlowNode is a node that held up its chain.
type SlowNode struct {
	Name  string
	Cause string // for people: "its disk or command", "its link from node-3", "its CPU"
	Side  bool   // it went on from the head as a side branch
}

// policy is s as the chain wants it.
func (s Slow) policy() chain.Policy {
	modes := map[SlowMode]chain.Mode{SlowSide: chain.ModeSide, SlowWait: chain.ModeWait, SlowDrop: chain.ModeDrop}
	return chain.Policy{Mode: modes[s.Mode], Share: cmp.Or(s.Share, DefaultSlowShare), Patience: cmp.Or(s.Patience, DefaultSlowPatience)}
}
