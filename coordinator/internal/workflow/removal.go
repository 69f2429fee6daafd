package workflow

import (
	"slices"
	"strconv"
	"strings"

	"kadeploy/coordinator/internal/layout"
)

// useless tells whether the request makes a micro-step of an instance pointless:
// the removal table of contract 4.3.
func (p *planner) useless(instance string, s MicroStep) bool {
	r := p.req
	switch s.Name {
	case SetVLAN, SetDefaultVLAN:
		return r.VLAN == ""
	case SendKeyInDeployEnv:
		return !r.wantsKeys()
	case StartupScript:
		return len(p.cluster.Startup) == 0
	}
	if r.Kind != Deploy {
		return false
	}
	switch s.Name {
	case CreatePartitionTable:
		return r.NoPartition || p.wholeDevice()
	case FormatDeployPart:
		return r.Env.Image.Kind != "tar" || p.wholeDevice()
	case FormatTmpPart:
		if parts := r.Layout(p.cluster); parts != nil {
			// What has a file system in the layout is formatted with the others.
			if tmp, ok := layout.Find(parts, "TMP"); !ok || tmp.Filesystem != "" || tmp.Disk != "" {
				return true
			}
		}
		return r.ReformatTmp == "" || p.wholeDevice() || r.Env.Multipart || p.cluster.Partitioning.Tmp < 0 || p.deploysOn(p.cluster.Partitioning.Tmp, "TMP")
	case FormatSwapPart:
		part := p.cluster.Partitioning
		none := part.Swap < 0
		if parts := r.Layout(p.cluster); parts != nil {
			none = len(SwapParts(parts)) == 0
		}
		return none || part.DisableSwap && !r.OwnLayout() || p.wholeDevice() || r.Env.Multipart || r.Env.OS != "linux" || p.deploysOn(part.Swap, "SWAP")
	case MountDeployPart:
		return !p.supported() || !p.mountsIn(instance)
	case DecompressEnvironment:
		return !(strings.HasSuffix(instance, "Custom") && p.cluster.BroadcastRaw)
	case MountTmpPart:
		return true // nothing is kept there: what arrives is consumed at once
	case ManageAdminPreInstall:
		return r.Env.Preinstall == nil && len(p.cluster.Preinstalls) == 0
	case ManageAdminPost:
		return len(p.cluster.Postinstalls) == 0 || !p.supported()
	case ManageUserPost:
		return len(r.Env.Postinstalls) == 0 || !p.supported()
	case SendKey:
		return !(r.wantsKeys() || r.BecomesTrusted(p.cluster)) || !p.supported()
	case InstallBootloader:
		// The image of a whole disk brings its own, and has no place for another one.
		return r.NoBootloader || !p.supported() || p.wholeDevice()
	case CheckKernelFiles:
		return !p.supported() || p.bootsItself()
	case UmountDeployPart:
		return !p.supported()
	}
	return false
}

// mountsIn: an archive is extracted into a mounted file system, so the mount stands
// in the first macro-step; an image brings its file system, so the mount comes after
// it. Before a kexec the file system is mounted anew in any case.
func (p *planner) mountsIn(instance string) bool {
	archive := p.req.Env.Image.Kind == "tar"
	switch {
	case strings.HasPrefix(instance, SetDeploymentEnv):
		return archive
	case strings.HasPrefix(instance, BroadcastEnv):
		return !archive
	}
	return true
}

// wholeDevice: the image is written over a whole disk.
func (p *planner) wholeDevice() bool { return p.req.WholeDisk() }

// bootsItself: the image of a disk need not say which kernel it has.
func (p *planner) bootsItself() bool {
	return p.req.Env.Image.Kind != "tar" && p.req.Env.Boot.Kernel == ""
}

// supported tells whether the mini-OS can mount the environment's file system: it
// knows it, and where it is. The root of the image of a whole disk is on the partition to boot from.
func (p *planner) supported() bool {
	if p.wholeDevice() && (p.req.BootPart == "" || p.req.BootPart == "0") {
		return false
	}
	known := p.cluster.MiniOS.Filesystems
	if len(known) == 0 {
		known = []string{"ext2", "ext3", "ext4", "vfat"} // contract 5.3, supported_fs
	}
	return slices.Contains(known, p.req.Env.Filesystem)
}

// unpackable: an archive needs a mounted file system to be unpacked into, or it
// would fill the node's memory. A preinstall or operations may mount one.
func (p *planner) unpackable() error {
	e := p.req.Env
	if e.Image.Kind != "tar" || p.supported() || p.wholeDevice() || e.Preinstall != nil || len(p.req.Operations) > 0 {
		return nil
	}
	return failure(invalidOption, "the mini-OS of cluster %s does not mount %s, the file system of the environment: a tar image cannot be unpacked there. Choose another file system, or add this one to boot/kernels/deploy/supported_fs if the mini-OS has it",
		p.cluster.Name, e.Filesystem)
}

// deploysOn tells whether the deployment partition is the one with this number and label.
func (p *planner) deploysOn(number int, label string) bool {
	chosen := p.req.Partition
	if chosen == "" {
		chosen = strconv.Itoa(p.cluster.Partitioning.Deploy)
	}
	return chosen == strconv.Itoa(number) || strings.EqualFold(chosen, label)
}
