// Package bootloader installs and configures GRUB for a deployed system, so that
// the node boots from its own disk: with the system's own grub where it has one,
// with that of the mini-OS otherwise. It does not mount the system itself, and
// it leaves no mount of its own behind.
package bootloader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/rootfs"
)

// limit is the longest that one of grub's programs may take.
const limit = 5 * time.Minute

// Install is one system that gets a boot loader.
type Install struct {
	Root         string // where the system is mounted
	Disk         string // device of the disk that the firmware boots
	RootDevice   string // device of its root file system
	RootUUID     string // of that file system; empty: unknown
	SharedUUID   bool   // another file system of this machine has the same
	RootLabel    string // name in the partition table; empty: none
	RootPartUUID string // of its partition; empty: unknown
	ESP          string // device of the EFI system partition; needed with UEFI
	ESPNumber    int    // of that partition
	UEFI         bool   // how this machine was booted

	Kernel, Initrd   string // of the description, paths below Root
	Params           string // kernel arguments; without a root=, the root file system is put before them
	Hypervisor       string // empty: none
	HypervisorParams string

	// UUID is that of the file system on a device, empty if it has none; nil: nothing is known of other file systems.
	UUID func(device string) string

	Variables map[string]string // BOOTLOADER_* among them
	Output    io.Writer         // what is done, and what the programs print
}

// family is a distribution's names of grub's programs, and its directory.
type family struct{ install, mkconfig, directory string }

var families = []family{
	{"grub-install", "grub-mkconfig", "/boot/grub"},
	{"grub2-install", "grub2-mkconfig", "/boot/grub2"},
}

// choices are the BOOTLOADER_* variables of the users' guide.
type choices struct {
	skip, noConfig, noInstall bool
	ownConfig, ownInstall     bool // with the system's own programs
	noUUID, menu              bool
}

func (in Install) choices() choices {
	set := func(name string) bool {
		v := in.Variables["BOOTLOADER_"+name]
		return v != "" && v != "0"
	}
	own := !set("NO_GRUB_FROM_DEST")
	return choices{
		skip: set("SKIP"), noConfig: set("NO_CONFIG"), noInstall: set("NO_INSTALL"),
		ownConfig:  own && !set("NO_GRUB_MKCONFIG_FROM_DEST"),
		ownInstall: own && !set("NO_GRUB_INSTALL_FROM_DEST"),
		noUUID:     set("NO_UUID") || in.SharedUUID, menu: set("SHOW_MENU"),
	}
}

// Run installs and configures.
func (in Install) Run(ctx context.Context) (err error) {
	c := in.choices()
	if c.skip {
		in.say("BOOTLOADER_SKIP is set: nothing is done")
		return nil
	}
	if in.SharedUUID {
		in.say("another file system has the UUID of the root (%s): it is not used to find the root", in.RootUUID)
	}
	undo, err := in.enter(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, undo()) }()
	directory := ""
	if !c.noInstall {
		if directory, err = in.install(ctx, c); err != nil {
			return err
		}
	}
	if c.noConfig {
		return nil
	}
	return in.configure(ctx, c, directory)
}

func (in Install) say(format string, args ...any) {
	if in.Output != nil {
		fmt.Fprintf(in.Output, format+"\n", args...)
	}
}

// enter mounts what the programs need inside of the system.
func (in Install) enter(c choices) (undo func() error, err error) {
	leave, err := rootfs.Enter(in.Root, false)
	if err != nil {
		return nil, err
	}
	if !in.UEFI || c.noInstall {
		return leave, nil
	}
	if in.ESP == "" {
		return nil, errors.Join(errors.New("install grub: the machine boots by UEFI, and its disk has no EFI system partition (label KDPL_EFI_…)"), leave())
	}
	if err := loadModules("vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1"); err != nil {
		in.say("%v", err)
	}
	point := rootfs.Inside(in.Root, efiDirectory)
	if err := (rootfs.Mount{Source: in.ESP, Point: point, Filesystem: "vfat"}).Do(); err != nil {
		return nil, errors.Join(err, leave())
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return errors.Join(rootfs.Unmount(ctx, point), leave())
	}, nil
}

// loadModules loads drivers of the mini-OS; a driver that is built in is not an error.
func loadModules(names ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := command.Output(ctx, "modprobe", append([]string{"-a", "-q"}, names...)...)
	return err
}
