// Package layout is the declarative description of a node's partitions: of which
// disks, how large, with which file systems, mounted where. Clusters have one in
// their configuration, environments in their description; both are written and
// checked in the same way. It knows nothing of the disks that a node really has.
package layout

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Part is one partition. Parts of one disk stand in the order in which they lie on it.
type Part struct {
	Disk       string `yaml:"disk,omitempty" json:"disk,omitempty"` // id or device; empty: the disk that is deployed on
	Label      string `yaml:"label" json:"label"`                   // role: DEPLOY, PROD, ...; empty: no name on disk
	Number     int    `yaml:"number" json:"number"`
	Size       Size   `yaml:"size" json:"size"`
	Type       string `yaml:"type" json:"type"`                                 // linux, swap, esp, bios, or a GPT type GUID
	Filesystem string `yaml:"filesystem,omitempty" json:"filesystem,omitempty"` // empty: none is made; of the root: the environment's
	Mkfs       string `yaml:"mkfs,omitempty" json:"mkfs,omitempty"`             // further arguments of mkfs
	Mount      string `yaml:"mount,omitempty" json:"mount,omitempty"`           // in the deployed system
	Options    string `yaml:"options,omitempty" json:"options,omitempty"`       // of mount, separated by commas
}

// String says in a line what the part is.
func (p Part) String() string {
	words := []string{strconv.Itoa(p.Number), p.Label, p.Size.String(), p.Type}
	if p.Disk != "" {
		words = append([]string{p.Disk}, words...)
	}
	switch {
	case p.Filesystem != "" && p.Filesystem != p.Type:
		words = append(words, p.Filesystem)
	case p.Mount == Root:
		words = append(words, "file system of the environment")
	}
	if p.Mount != "" {
		words = append(words, "on "+p.Mount)
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// Root is where the environment's own file system is mounted.
const Root = "/"

// Names of partition types and file systems that have a meaning of their own.
const (
	Linux = "linux"
	Swap  = "swap"
	ESP   = "esp"
	BIOS  = "bios"
	vfat  = "vfat"
)

// Find is the part with a label.
func Find(parts []Part, label string) (Part, bool) {
	i := slices.IndexFunc(parts, func(p Part) bool { return p.Label == label })
	if label == "" || i < 0 {
		return Part{}, false
	}
	return parts[i], true
}

// RootOf is the part that is mounted on /.
func RootOf(parts []Part) (Part, bool) {
	i := slices.IndexFunc(parts, func(p Part) bool { return p.Mount == Root })
	if i < 0 {
		return Part{}, false
	}
	return parts[i], true
}

// Mounts are the parts with a mount point below the root, those first that others are mounted in.
func Mounts(parts []Part) []Part {
	var list []Part
	for _, p := range parts {
		if p.Mount != "" && p.Mount != Root {
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b Part) int {
		return cmp.Compare(strings.Count(path.Clean(a.Mount), "/"), strings.Count(path.Clean(b.Mount), "/"))
	})
	return list
}

// Disks are the disks of the parts, the one that is deployed on (empty) first.
func Disks(parts []Part) []string {
	var disks []string
	for _, p := range parts {
		if !slices.Contains(disks, p.Disk) {
			disks = append(disks, p.Disk)
		}
	}
	slices.SortStableFunc(disks, func(a, b string) int { return cmp.Compare(min(len(a), 1), min(len(b), 1)) })
	return disks
}

// On are the parts of one disk.
func On(parts []Part, disk string) []Part {
	return slices.DeleteFunc(slices.Clone(parts), func(p Part) bool { return p.Disk != disk })
}
