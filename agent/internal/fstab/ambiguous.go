package fstab

import (
	"fmt"
	"strings"
)

// Named is a device, and what else than its path a system may find it by. Empty: it
// has no such name.
type Named struct {
	Path                             string // /dev/vda3
	UUID, Label, PartUUID, PartLabel string
	Type                             string // of its file system, for whoever asks; not looked at here
}

// Doubt is a name that a system looks for, and that several devices have.
type Doubt struct {
	Name    string // LABEL=data
	Point   string // where it is mounted: "none" and the like of swap space; empty: it is the kernel's root=
	Devices []string
}

func (d Doubt) String() string {
	what := fmt.Sprintf("%s names %s (%s)", file, d.Name, d.Point)
	if d.Point == "" {
		what = "the kernel's parameters name root=" + d.Name
	}
	return fmt.Sprintf("%s, which is the name of %s: which of them is used is not certain; name it otherwise, or rename or wipe the others", what, strings.Join(d.Devices, " and of "))
}

// Ambiguous are the names behind root= on a kernel's command line, and in a table of
// file systems, that several of the devices have.
func Ambiguous(table, commandLine string, devices []Named) []Doubt {
	var doubts []Doubt
	look := func(spec, point string) {
		if found := having(spec, devices); len(found) > 1 {
			doubts = append(doubts, Doubt{spec, point, found})
		}
	}
	for _, word := range strings.Fields(commandLine) {
		if spec, ok := strings.CutPrefix(word, "root="); ok {
			look(strings.ReplaceAll(spec, `"`, ""), "")
		}
	}
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) >= 2 && !strings.HasPrefix(fields[0], "#") {
			look(unescape(strings.ReplaceAll(fields[0], `"`, "")), unescape(fields[1]))
		}
	}
	return doubts
}

// having are the devices of a name, as fstab(5) and udev write it. Case does not
// count in UUIDs.
func having(spec string, devices []Named) (paths []string) {
	tag, value, ok := strings.Cut(spec, "=")
	if link, isLink := strings.CutPrefix(spec, "/dev/disk/by-"); isLink {
		tag, value, ok = strings.Cut(link, "/")
	}
	if !ok || value == "" {
		return nil
	}
	for _, d := range devices {
		same := false
		switch strings.ToUpper(tag) {
		case "UUID":
			same = strings.EqualFold(d.UUID, value)
		case "LABEL":
			same = d.Label == value
		case "PARTUUID":
			same = strings.EqualFold(d.PartUUID, value)
		case "PARTLABEL":
			same = d.PartLabel == value
		}
		if same {
			paths = append(paths, d.Path)
		}
	}
	return paths
}

// Read is the table of the system below root; one that is not there is empty.
func Read(root string) (string, error) {
	text, _, err := read(root)
	if err != nil {
		return "", fmt.Errorf("read %s of the deployed system: %w", file, err)
	}
	return text, nil
}
