package config

import (
	"regexp"
	"strings"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/layout"
	"kadeploy/coordinator/internal/tree"
)

var (
	diskID    = regexp.MustCompile(`^disk[0-9]{1,3}$`)
	placeForm = regexp.MustCompile(`^(by-[a-z]+/)?[\w:.+@-]+$`)
)

// disks reads partitioning.disk_path: by id, what is known of each disk.
func disks(n *tree.Node) map[string]cluster.Disk {
	all := map[string]cluster.Disk{}
	owners := map[string]string{}
	for _, id := range n.Keys() {
		item := n.Get(id)
		if !diskID.MatchString(id) {
			item.Fail("Invalid id '%s', ids of disks are disk0, disk1, ...", id)
		}
		d := disk(item)
		if owner := owners[d.Path]; owner != "" && d.Path != "" {
			item.Fail("%s is already the path of %s", d.Path, owner)
		}
		owners[d.Path] = id
		all[id] = d
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

func disk(n *tree.Node) cluster.Disk {
	if !n.IsMap() {
		return cluster.Disk{Path: devicePath(n, n.String(""))}
	}
	d := cluster.Disk{
		Path:    devicePath(n.Get("path"), n.Get("path").String("")),
		Serials: oneOrMore(n.Get("serial")),
		WWNs:    oneOrMore(n.Get("wwn")),
	}
	if size := n.Get("size"); size.Exists() {
		var ok bool
		if d.Size, ok = layout.ParseBytes(size.Text("")); !ok {
			size.Fail("Invalid value '%s', it must be a size with its unit, as in 480GB", size.Text(""))
		}
	}
	if d.Path == "" && d.Serials == nil && d.WWNs == nil {
		n.Fail("Nothing tells this disk from others: give 'path', 'serial' or 'wwn'")
	}
	return d
}

// devicePath is the path of a device; a name alone is one below /dev/disk/by-path.
func devicePath(n *tree.Node, text string) string {
	switch {
	case text == "" || strings.HasPrefix(text, "/dev/") && layout.IsDisk(text):
		return text
	case !placeForm.MatchString(text):
		n.Fail("Invalid value '%s', it must be a device, as in /dev/sda, or a name below /dev/disk/by-path", text)
		return ""
	case strings.HasPrefix(text, "by-"):
		return "/dev/disk/" + text
	}
	return "/dev/disk/by-path/" + text
}

func oneOrMore(n *tree.Node) []string {
	if !n.Exists() {
		return nil
	}
	list := n.Strings()
	for _, text := range list {
		if strings.Trim(text, "* ") == "" {
			n.Fail("Invalid value '%s', it must have at least one character that is not *", text)
		}
	}
	return list
}

// place checks a layout against what is known of the disks.
func place(n *tree.Node, p *cluster.Partitioning) {
	items := n.Items()
	for i, part := range p.Layout {
		switch {
		case part.Disk == "":
		case part.Disk == p.DiskID || part.Disk == p.BlockDevice:
			// One disk has one table, whatever it is called.
			items[i].Get("disk").Fail("%s is the disk that is deployed on: leave the field out", part.Disk)
		case part.Label == p.DeployLabel:
			items[i].Get("disk").Fail("The partition that is deployed on lies on the disk of block_device: leave the field out")
		}
	}
	for _, id := range layout.Disks(p.Layout) {
		known := p.Disks[id]
		if id == "" {
			known = p.Disks[p.DiskID]
		}
		var sum uint64
		for _, part := range layout.On(p.Layout, id) {
			sum += part.Size.Bytes
		}
		if known.Size > 0 && sum > known.Size {
			n.Fail("The partitions of %d bytes are too much for a disk of %d bytes: make them smaller", sum, known.Size)
		}
	}
}

// numberOf is the number of a label's partition in the layout; -1 if it is not there, or on another disk.
func numberOf(parts []layout.Part, label string) int {
	if p, ok := layout.Find(parts, label); ok && p.Disk == "" {
		return p.Number
	}
	return -1
}
