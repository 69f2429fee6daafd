package kascade

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseTopology(t *testing.T) {
	const file = `# The room, from the door.
room-1:
  switch-2: node-[9-11], node-3
  switch-1: node-[1-2].lyon node-[07,08]	# two halves
gpu
rack-[1-2]-[3,5]
`
	order, err := ParseTopology(strings.NewReader(file), "topology")
	want := strings.Fields("node-9 node-10 node-11 node-3 node-1.lyon node-2.lyon node-07 node-08 gpu rack-1-3 rack-1-5 rack-2-3 rack-2-5")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestParseTopologyRefuses(t *testing.T) {
	for file, want := range map[string]string{
		"a b\nc a\n":                  "net.topo, line 2: a stands in line 1 already",
		": a":                         "line 1: no name of a group",
		"g: a: b":                     `"a:" is not the name of a node`,
		"node-[1-4":                   "a bracket is not closed",
		"node-1]":                     "a bracket is not opened",
		"node-[4-1]":                  `"4-1" is no range`,
		"node-[x]":                    `"x" is no range`,
		"node-[]":                     `"" is no range`,
		"node-[1-4000000000]":         "more than 65535 nodes",
		"n[1-300][1-300]":             "more than 65535 nodes",
		"n[1-2][1-40000] m[1-2]":      "more than 65535 nodes",
		"a\x00b":                      "is not the name of a node",
		strings.Repeat("x", 1<<20+10): "line 1: bufio.Scanner: token too long",
	} {
		order, err := ParseTopology(strings.NewReader(file), "net.topo")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseTopology(%.30q) = %.5v, %v, want %s", file, order, err, want)
		}
	}
}

// FuzzParseTopology: no file makes the parser panic or give a name twice, an empty one or too many.
func FuzzParseTopology(f *testing.F) {
	f.Add("switch-1: node-[1-4], node-7\nnode-9 # comment\n")
	f.Add("room:\n a[1-2]b[03-5]\n")
	f.Add("a[\n]")
	f.Fuzz(func(t *testing.T, file string) {
		order, err := ParseTopology(strings.NewReader(file), "file")
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, name := range order {
			if name == "" || seen[name] {
				t.Fatalf("name %q is empty or there twice", name)
			}
			seen[name] = true
		}
		if len(order) > maxTopologyNames {
			t.Fatalf("%d names", len(order))
		}
	})
}
