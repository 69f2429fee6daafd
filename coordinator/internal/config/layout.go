package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/tree"
)

// Limits of a layout, those of the agent that makes it.
const (
	maxLabel = 20
	maxParts = 128
)

var (
	partLabel = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	partGUID  = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	partTypes = []string{"linux", "swap", "esp", "bios"}
)

// layout reads partitioning.layout: the partitions of the disk in their order.
func layout(n *tree.Node) []cluster.Part {
	items := n.Items()
	if n.Exists() && len(items) == 0 {
		n.Fail("There is no partition: give at least one, or leave the field out for the built-in scheme")
	}
	var parts []cluster.Part
	labels, numbers, rest := map[string]bool{}, map[int]bool{}, false
	for i, item := range items {
		p := part(item, i)
		switch {
		case labels[p.Label] && p.Label != "":
			item.Get("label").Fail("The label '%s' is given twice", p.Label)
		case numbers[p.Number]:
			item.Get("number").Fail("The number %d is given twice; without a number a partition has its place in the list", p.Number)
		case p.Size == 0 && rest:
			item.Get("size").Fail("Only one partition can have what is left: give a size")
		}
		labels[p.Label], numbers[p.Number], rest = true, true, rest || p.Size == 0
		parts = append(parts, p)
	}
	return parts
}

func part(n *tree.Node, place int) cluster.Part {
	p := cluster.Part{
		Label:  n.Get("label").Must().String(""),
		Number: between(n.Get("number"), place+1, 1, maxParts),
		Type:   n.Get("type").String("linux"),
	}
	if p.Label != "" && (len(p.Label) > maxLabel || !partLabel.MatchString(p.Label)) {
		n.Get("label").Fail("Invalid value '%s', a label has at most %d letters, digits, - and _", p.Label, maxLabel)
	}
	if !slices.Contains(partTypes, p.Type) && !partGUID.MatchString(p.Type) {
		n.Get("type").Fail("Invalid value '%s', allowed values are: %s, or the GUID of a partition type", p.Type, strings.Join(partTypes, ", "))
	}
	size := n.Get("size").Must()
	text := size.Text("rest")
	if text == "rest" {
		return p
	}
	var ok bool
	if p.Size, ok = bytesOf(text); !ok {
		size.Fail("Invalid value '%s', it must be a size with its unit, as in 512MiB, 4GB or 4GiB, or rest", text)
	}
	return p
}

var units = []struct {
	name  string
	bytes uint64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
}

// bytesOf reads a size above 0 with its unit.
func bytesOf(text string) (uint64, bool) {
	for _, u := range units {
		digits, found := strings.CutSuffix(text, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 64)
		return n * u.bytes, err == nil && n > 0 && n <= (1<<62)/u.bytes
	}
	return 0, false
}

// numberOf is the number of a label's partition in the layout; -1 if it is not there.
func numberOf(parts []cluster.Part, label string) int {
	for _, p := range parts {
		if p.Label == label {
			return p.Number
		}
	}
	return -1
}
