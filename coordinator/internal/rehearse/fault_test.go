package rehearse

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func names(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("node-%d", i+1)
	}
	return list
}

func TestFaultsAreOfTheSeed(t *testing.T) {
	all, rates := names(100), Rates{Fail: 0.05, Slow: 0.02, Hang: 0.001}
	first := Faults(all, rates, 7, nil)
	if diff := cmp.Diff(first, Faults(all, rates, 7, nil)); diff != "" {
		t.Errorf("the same seed gives other faults: %s", diff)
	}
	if cmp.Equal(first, Faults(all, rates, 8, nil)) {
		t.Error("another seed gives the same faults")
	}
	kinds := make(map[Kind]int)
	for _, f := range first {
		if f.Kind == Death || f.Kind == Error {
			kinds["fail"]++
		} else {
			kinds[f.Kind]++
		}
	}
	if diff := cmp.Diff(map[Kind]int{"fail": 5, Slow: 2, Hang: 1}, kinds); diff != "" {
		t.Error(diff)
	}
	if n := len(Faults(all, Rates{Fail: 1, Slow: 1, Hang: 1}, 1, nil)); n != 100 {
		t.Errorf("rates of 1 give %d faults to 100 nodes", n)
	}
}

// TestFaultsStrikeEverywhere: every point gets deaths, and those to which no deployment comes get none.
func TestFaultsStrikeEverywhere(t *testing.T) {
	seen := make(map[Point]bool)
	for seed := range uint64(200) {
		for _, f := range Faults(names(10), Rates{Fail: 1}, seed, func(p Point) bool { return p != AtReboot }) {
			seen[f.Point] = true
		}
	}
	for _, p := range deaths {
		if seen[p] != (p != AtReboot) {
			t.Errorf("faults at %s: %v", p, seen[p])
		}
	}
}
