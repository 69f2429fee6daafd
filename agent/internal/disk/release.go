package disk

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/mountinfo"
)

// release stops the arrays and volumes that the mini-OS found on the disks and
// assembled by itself: they would keep the disks busy, and write their marks back.
// What is mounted or used as swap, or what has a part on another disk too, is not
// ours to stop: nothing is stopped then, and the refusal names it.
func (h *Host) release(disks []Disk) error {
	var names []string
	for _, d := range disks {
		names = append(names, d.Name)
		for _, p := range d.Partitions {
			names = append(names, p.Name)
		}
	}
	holders, err := h.above(names)
	if err != nil {
		return err
	}
	for _, holder := range holders {
		if err := h.idle(holder, append(names, holders...)); err != nil {
			return err
		}
	}
	for _, holder := range slices.Backward(holders) {
		if err := h.stop(holder); err != nil {
			return err
		}
	}
	return nil
}

// above are the devices that are made of the named ones, directly or not, lower ones first.
func (h *Host) above(names []string) ([]string, error) {
	var all []string
	for todo := slices.Clone(names); len(todo) > 0; todo = todo[1:] {
		entries, err := os.ReadDir(h.sys("class/block", todo[0], "holders"))
		if err != nil && !os.IsNotExist(err) {
			return nil, fmt.Errorf("see what %s is part of: %w", todo[0], err)
		}
		for _, e := range entries {
			all = slices.DeleteFunc(all, func(n string) bool { return n == e.Name() }) // it is above this one too
			all = append(all, e.Name())
			todo = append(todo, e.Name())
			todo = append(todo, h.parts(e.Name())...)
		}
	}
	return all, nil
}

// parts are the partitions of a device.
func (h *Host) parts(name string) []string {
	var list []string
	entries, _ := os.ReadDir(h.sys("class/block", name))
	for _, e := range entries {
		if _, err := os.Stat(h.sys("class/block", name, e.Name(), "partition")); err == nil {
			list = append(list, e.Name())
		}
	}
	return list
}

// idle refuses a device that is in use, or that is not only made of the known ones.
func (h *Host) idle(name string, known []string) error {
	mounts, err := mountinfo.Read()
	if err != nil {
		return err
	}
	swaps, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return fmt.Errorf("read swap areas: %w", err)
	}
	for _, n := range append([]string{name}, h.parts(name)...) {
		number := h.read("class/block", n, "dev")
		for _, m := range mounts {
			if m.Device == number && number != "" || m.Source == h.dev(n) {
				return fault.Preconditionf("it is part of %s, which is mounted on %s", n, m.Point)
			}
		}
		if strings.Contains("\n"+string(swaps), "\n"+h.dev(n)+" ") {
			return fault.Preconditionf("it is part of %s, which is swap space in use", n)
		}
	}
	slaves, err := os.ReadDir(h.sys("class/block", name, "slaves"))
	if err != nil {
		return fmt.Errorf("see what %s is made of: %w", name, err)
	}
	for _, s := range slaves {
		if !slices.Contains(known, s.Name()) && !slices.Contains(h.partsOf(known), s.Name()) {
			return fault.Preconditionf("it is part of %s, of which %s is part too: stop %s first, or deploy on all of its disks", name, s.Name(), name)
		}
	}
	return nil
}

func (h *Host) partsOf(names []string) []string {
	var all []string
	for _, n := range names {
		all = append(all, h.parts(n)...)
	}
	return all
}

// stop takes down an array or a volume that nothing uses.
func (h *Host) stop(name string) error {
	var err error
	switch {
	case strings.HasPrefix(name, "md"):
		err = h.stopArray(name)
	case strings.HasPrefix(name, "dm-"):
		err = removeMapping(h.read("class/block", name, "dm/name"))
	default:
		return fault.Preconditionf("it is part of %s, which is neither an array nor a volume: stop it first", name)
	}
	if err != nil {
		return fmt.Errorf("stop %s, which nothing uses: %w", name, err)
	}
	if h.Log != nil {
		h.Log.Info("stopped an array or a volume of a disk that is to be overwritten", "device", name)
	}
	return nil
}

// stopArray is `mdadm --stop` (linux/raid/md_u.h).
func (h *Host) stopArray(name string) error {
	const stopArray = 9<<8 | 0x32 // _IO(MD_MAJOR, 0x32)
	f, err := os.OpenFile(h.dev(name), os.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetInt(int(f.Fd()), stopArray, 0)
}

// dmIoctl is struct dm_ioctl of linux/dm-ioctl.h.
type dmIoctl struct {
	version             [3]uint32
	dataSize, dataStart uint32
	targetCount         uint32
	openCount           int32
	flags, eventNumber  uint32
	_                   uint32
	device              uint64
	name                [128]byte
	uuid                [129]byte
	_                   [7]byte
}

// removeMapping is `dmsetup remove`.
func removeMapping(name string) error {
	return deviceMapper(4, dmIoctl{}, name) // DM_DEV_REMOVE
}

// deviceMapper sends one command about one mapping; arg.dataSize may be larger than the header only.
func deviceMapper(command uintptr, arg dmIoctl, name string) error {
	if name == "" || len(name) >= len(arg.name) {
		return fmt.Errorf("a mapping cannot have the name %q", name)
	}
	f, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	arg.version = [3]uint32{4, 0, 0}
	arg.dataSize = uint32(unsafe.Sizeof(arg))
	copy(arg.name[:], name)
	number := 3<<30 | unsafe.Sizeof(arg)<<16 | 0xfd<<8 | command // _IOWR(DM_IOCTL, command, struct dm_ioctl)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), number, uintptr(unsafe.Pointer(&arg))); errno != 0 {
		return errno
	}
	return nil
}
