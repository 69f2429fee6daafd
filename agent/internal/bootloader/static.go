package bootloader

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kadeploy/agent/internal/inroot"
	"kadeploy/agent/internal/mountinfo"
)

// byLabel is where a partition is found by its name in the partition table.
const byLabel = "/dev/disk/by-partlabel/"

// writeStatic writes a grub.cfg that boots the description's kernel, and nothing
// else. directory is where it goes; empty: where the system has its grub.
func (in Install) writeStatic(c choices, directory string) error {
	if directory == "" {
		directory = families[0].directory
		if _, err := os.Stat(filepath.Join(in.Root, families[1].directory)); err == nil {
			directory = families[1].directory
		}
	}
	text, err := in.static(c)
	if err != nil {
		return err
	}
	return in.put(directory, "grub.cfg", text)
}

func (in Install) static(c choices) (string, error) {
	var b strings.Builder
	b.WriteString("# Written by Kadeploy when this system was deployed.\n")
	kernel, err := inroot.Resolve(in.Root, in.Kernel)
	if err != nil {
		return "", err
	}
	timeout := 0
	if c.menu {
		timeout = 5
		if unit, speed, ok := serial(in.Params); ok {
			fmt.Fprintf(&b, "serial --unit=%s --speed=%s\nterminal_input console serial\nterminal_output console serial\n", unit, speed)
		}
	}
	fmt.Fprintf(&b, "set timeout=%d\nset default=0\ninsmod part_gpt\ninsmod part_msdos\n", timeout)
	uuid, at := in.filesystem(kernel)
	if in.SharedUUID && uuid == in.RootUUID {
		// The other one may have the same file: where grub itself was found goes first.
		fmt.Fprintf(&b, "search --no-floppy --file --hint=$root --set=root %s\n", at)
	} else if c.noUUID || uuid == "" {
		fmt.Fprintf(&b, "search --no-floppy --file --set=root %s\n", at)
	} else {
		fmt.Fprintf(&b, "search --no-floppy --fs-uuid --set=root %s\n", uuid)
	}
	load, initrd, params := "linux", "initrd", in.rootArgument(c)+in.Params
	b.WriteString("menuentry 'Deployed system' {\n")
	if in.Hypervisor != "" {
		hypervisor, err := in.onFilesystem(in.Hypervisor)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "\tmultiboot2 %s %s\n", hypervisor, in.HypervisorParams)
		load, initrd = "module2", "module2 --nounzip"
	}
	fmt.Fprintf(&b, "\t%s %s %s\n", load, at, params)
	if in.Initrd != "" {
		file, err := in.onFilesystem(in.Initrd)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "\t%s %s\n", initrd, file)
	}
	b.WriteString("}\n")
	return b.String(), nil
}

// onFilesystem is a file's path as grub sees it.
func (in Install) onFilesystem(path string) (string, error) {
	real, err := inroot.Resolve(in.Root, path)
	if err != nil {
		return "", err
	}
	_, at := in.filesystem(real)
	return at, nil
}

// filesystem is the UUID of the file system that a file of the system is on, and
// the file's path there: a separate /boot is a file system of its own.
func (in Install) filesystem(file string) (uuid, at string) {
	uuid, at = in.RootUUID, file
	mounts, err := mountinfo.Read()
	if err != nil {
		return uuid, at
	}
	full, best := filepath.Join(in.Root, file), ""
	for _, m := range mountinfo.Below(mounts, filepath.Clean(in.Root)) {
		if !strings.HasPrefix(full, m.Point+"/") || len(m.Point) < len(best) {
			continue
		}
		best, at = m.Point, filepath.Join(m.Root, strings.TrimPrefix(full, m.Point))
		if m.Point == filepath.Clean(in.Root) {
			uuid = in.RootUUID
		} else if uuid = ""; in.UUID != nil {
			uuid = in.UUID(m.Source)
		}
	}
	return uuid, at
}

// rootArgument tells the kernel its root file system, unless its parameters do.
// Only an initrd knows file systems' UUIDs and udev's links; the kernel itself
// knows partitions.
func (in Install) rootArgument(c choices) string {
	for word := range strings.FieldsSeq(in.Params) {
		if strings.HasPrefix(word, "root=") {
			return "ro "
		}
	}
	root := in.RootDevice
	switch initrd := in.Initrd != ""; {
	case !c.noUUID && initrd && in.RootUUID != "":
		root = "UUID=" + in.RootUUID
	case !c.noUUID && !initrd && in.RootPartUUID != "":
		root = "PARTUUID=" + in.RootPartUUID
	case in.RootLabel != "" && initrd:
		root = byLabel + in.RootLabel
	case in.RootLabel != "":
		root = "PARTLABEL=" + in.RootLabel
	}
	return "root=" + root + " ro "
}
