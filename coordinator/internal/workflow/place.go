package workflow

import (
	"cmp"
	"slices"
	"strconv"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/layout"
)

// Layout is how the disks of a cluster's nodes are partitioned for a request; nil:
// by the site's script, or by the built-in scheme. An environment's own goes before
// the cluster's. On another disk than the cluster's, only what stands for that disk is made.
func (r *Request) Layout(c *cluster.Cluster) []layout.Part {
	parts := c.Partitioning.Layout
	if r.Env != nil && r.Env.Preinstall != nil {
		return nil // it prepares the disks
	}
	if r.OwnLayout() {
		return r.Env.Options.Layout
	}
	if disk := r.BlockDevice; disk != "" && disk != c.Partitioning.BlockDevice && disk != c.Partitioning.DiskID {
		return layout.On(parts, "")
	}
	return parts
}

// OwnLayout tells whether the environment says how the disks are partitioned.
func (r *Request) OwnLayout() bool { return r.Env != nil && len(r.Env.Options.Layout) > 0 }

// Place is the partition that is deployed on, of Disk: by its number, or by its label; with neither, the whole disk.
type Place struct {
	Disk   string
	Number int
	Label  string
}

// Place is where the environment goes on the nodes of a cluster.
func (r *Request) Place(c *cluster.Cluster) Place {
	p := Place{Disk: cmp.Or(r.BlockDevice, c.Partitioning.BlockDevice)}
	switch {
	case r.WholeDisk():
	case r.Partition != "":
		number, err := strconv.Atoi(r.Partition)
		if err != nil {
			p.Label = r.Partition
		}
		p.Number = number
	case r.OwnLayout():
		root, _ := layout.RootOf(r.Env.Options.Layout)
		p.Number = root.Number
	default:
		p.Number = max(c.Partitioning.Deploy, 0)
	}
	return p
}

// WholeDisk tells whether an image is written over a whole disk. Files need a
// partition: a disk that is named without one is given the cluster's partitions then.
func (r *Request) WholeDisk() bool {
	return r.BlockDevice != "" && r.Partition == "" && (r.Env == nil || r.Env.Image.Kind == "dd")
}

// Is tells whether a part of a layout is the place.
func (p Place) Is(part layout.Part) bool {
	return part.Disk == "" && (part.Number == p.Number || p.Label != "" && part.Label == p.Label)
}

// SwapParts are the parts of a layout that are swap space.
func SwapParts(parts []layout.Part) []layout.Part {
	return slices.DeleteFunc(slices.Clone(parts), func(p layout.Part) bool { return p.Filesystem != layout.Swap })
}

// Inner are the parts that are mounted inside of the deployed system, in their
// order: of files only, as an image brings what it has.
func (r *Request) Inner(c *cluster.Cluster) []layout.Part {
	if r.Env == nil || r.Env.Image.Kind != "tar" {
		return nil
	}
	place := r.Place(c)
	return slices.DeleteFunc(layout.Mounts(r.Layout(c)), place.Is)
}
