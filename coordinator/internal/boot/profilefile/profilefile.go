// Package profilefile owns the boot profile files of sites that keep a DHCP and
// a TFTP server of their own: the text that PXELINUX, gPXELINUX, iPXE and GRUB
// read, the name of each node's file, and its replacement on the disk (contract
// 6.1). It never decides what a node boots.
package profilefile

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"kadeploy/coordinator/internal/boot/userfile"
)

// Method is a boot loader's way of reading a profile.
type Method string

// The methods, named as in the configuration.
const (
	PXELinux  Method = "PXElinux"
	GPXELinux Method = "GPXElinux"
	IPXE      Method = "IPXE"
	GrubPXE   Method = "GrubPXE"
)

// Export is how the boot loader reaches the repository.
type Export struct {
	Kind   string // tftp, http or ftp
	Server string // host that exports it; tftp needs none
}

// Network is a profile that boots a kernel of the repository.
type Network struct {
	Header         string
	Kernel, Initrd string // file names in the repository
	Params         string
}

// Local is a profile that boots what is installed on a disk.
type Local struct {
	Header    string
	Device    string // /dev/sda
	Partition int    // to chainload; 0: the disk's own boot record

	// For GRUB, which can load kernels from the partition by itself.
	OS                       string // linux, xen, or another
	Root                     string // device of the root file system
	Kernel, Initrd, Params   string // paths in the partition
	Hypervisor, HyperOptions string // for xen
}

// Network writes the profile of a network boot.
func (m Method) Network(e Export, p Network) (string, error) {
	at, err := m.paths(e)
	if err != nil {
		return "", err
	}
	kernel, initrd := at(p.Kernel), at(p.Initrd)
	switch m {
	case PXELinux, GPXELinux:
		args := join(optional("initrd=", initrd, p.Initrd), p.Params)
		return m.text(p.Header, "DEFAULT network", "LABEL network", "\tKERNEL "+kernel, optional("\tAPPEND ", args, args)), nil
	case IPXE:
		return m.text(p.Header, optional("initrd ", initrd, p.Initrd), "chain "+join(kernel, p.Params)), nil
	}
	return m.menu(p.Header, "network", "linux "+join(kernel, p.Params), optional("initrd ", initrd, p.Initrd)), nil
}

// Local writes the profile that boots a disk. Boot loaders count disks as the
// BIOS does, so the disk must be one whose name has a letter for its number.
func (m Method) Local(e Export, p Local) (string, error) {
	at, err := m.paths(e)
	if err != nil {
		return "", err
	}
	disk, err := biosDisk(p.Device)
	if err != nil {
		return "", err
	}
	chain := fmt.Sprintf("hd%d %d", disk, p.Partition)
	switch m {
	case PXELinux, GPXELinux:
		return m.text(p.Header, "DEFAULT local", "LABEL local", "\tCOM32 "+at("chain.c32"), "\tAPPEND "+chain), nil
	case IPXE:
		return m.text(p.Header, "chain "+at("chain.c32")+" "+chain), nil
	}
	return m.menu(p.Header, "local", grubLocal(disk, p)...), nil
}

// Chain writes the profile that hands over to another boot loader's binary in
// the repository, which then reads a profile of its own.
func (m Method) Chain(e Export, header, binary string) (string, error) {
	at, err := m.paths(e)
	if err != nil {
		return "", err
	}
	switch m {
	case PXELinux, GPXELinux:
		return m.text(header, "DEFAULT chain", "LABEL chain", "\tKERNEL "+at(binary), "\tAPPEND keeppxe"), nil
	case IPXE:
		return m.text(header, "chain "+at(binary)), nil
	}
	return m.menu(header, "chain", "pxechainloader "+at(binary), "boot"), nil
}

// Custom is a user's profile, word for word but for its two patterns. prefix
// stands for FILES_PREFIX: see FilesPrefix.
func Custom(profile, singularity, prefix string) string {
	pairs := []string{"FILES_PREFIX", prefix}
	if singularity != "" {
		pairs = append(pairs, "NODE_SINGULARITY", singularity)
	}
	return strings.NewReplacer(pairs...).Replace(profile)
}

// FilesPrefix is how a profile names a user's uploaded files, up to the "--"
// before the name. directory is that of userfiles, in the repository.
func (m Method) FilesPrefix(e Export, directory, user string) (string, error) {
	at, err := m.paths(e)
	if err != nil {
		return "", err
	}
	return at(strings.Trim(directory, "/") + "/" + userfile.Prefix(user)), nil
}

// text is header and lines; iPXE wants its mark before anything else.
func (m Method) text(header string, lines ...string) string {
	var all []string
	if m == IPXE {
		all = append(all, "#!ipxe")
	}
	if header = strings.TrimRight(header, "\n"); header != "" {
		all = append(all, header)
	}
	for _, l := range lines {
		if l != "" {
			all = append(all, l)
		}
	}
	return strings.Join(all, "\n") + "\n"
}

// menu is GRUB's: one entry, taken at once unless the header says otherwise.
func (m Method) menu(header, label string, lines ...string) string {
	var all []string
	if !strings.Contains(header, "timeout=") {
		all = append(all, "timeout=0")
	}
	all = append(all, "default=0", "menuentry "+label+" {")
	for _, l := range lines {
		if l != "" {
			all = append(all, "\t"+l)
		}
	}
	return m.text(header, append(all, "}")...)
}

// grubLocal boots a kernel where GRUB knows how to, and chainloads the rest.
func grubLocal(disk int, p Local) []string {
	lines := []string{fmt.Sprintf("set root=(hd%d,%d)", disk, p.Partition)}
	if p.Partition == 0 {
		lines[0] = fmt.Sprintf("set root=(hd%d)", disk)
	}
	kernel := p.Kernel + " " + join("root="+p.Root, p.Params)
	switch {
	case p.OS == "linux" && p.Kernel != "":
		return append(lines, "linux "+kernel, optional("initrd ", p.Initrd, p.Initrd))
	case p.OS == "xen" && p.Hypervisor != "":
		return append(lines, "multiboot "+join(p.Hypervisor, p.HyperOptions), "module "+kernel, optional("module ", p.Initrd, p.Initrd))
	}
	return append(lines, "chainloader +1")
}

// optional is before and value, or nothing if the condition is empty.
func optional(before, value, condition string) string {
	if condition == "" {
		return ""
	}
	return before + value
}

func join(words ...string) string {
	return strings.TrimSpace(strings.Join(words, " "))
}

// biosDisk is the number that the firmware gives to a disk: the place of its
// letter, its number among NVMe or eMMC disks, or that of its disk id.
func biosDisk(device string) (int, error) {
	name := strings.TrimPrefix(device, "/dev/")
	if m := lettered.FindStringSubmatch(name); m != nil {
		return int(m[1][0] - 'a'), nil
	}
	if m := counted.FindStringSubmatch(name); m != nil {
		return strconv.Atoi(m[1])
	}
	return 0, fmt.Errorf("the disk %q has no number that a classical boot profile could name: these profiles know /dev/sda, /dev/nvme0n1, disk0 and the like; let the coordinator serve DHCP instead", device)
}

var (
	lettered = regexp.MustCompile(`^(?:sd|hd|vd|xvd)([a-z])$`)
	counted  = regexp.MustCompile(`^(?:nvme|mmcblk|disk)([0-9]{1,2})(?:n1)?$`)
)

// paths tells how a method names a file of the repository.
func (m Method) paths(e Export) (func(file string) string, error) {
	slash := func(file string) string { return "/" + strings.TrimPrefix(file, "/") }
	bad := fmt.Errorf("boot method %s cannot read files by %q", m, e.Kind)
	url := func(file string) string { return e.Kind + "://" + e.Server + slash(file) }
	switch m {
	case PXELinux:
		if e.Kind != "tftp" {
			return nil, bad
		}
		return slash, nil
	case GPXELinux, IPXE:
		switch e.Kind {
		case "tftp":
			return slash, nil
		case "http", "ftp":
			return url, nil
		}
		return nil, bad
	case GrubPXE:
		switch e.Kind {
		case "tftp":
			return func(file string) string { return "(pxe)" + slash(file) }, nil
		case "http":
			return func(file string) string { return "(http," + e.Server + ")" + slash(file) }, nil
		}
		return nil, bad
	}
	return nil, fmt.Errorf("unknown boot method %q: PXElinux, GPXElinux, IPXE and GrubPXE are known", m)
}
