// Package inventory finds out what machine the agent runs on: firmware, kernel,
// memory, network interfaces. Disks are package disk's.
package inventory

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is what there is, but for disks.
type Machine struct {
	Hostname   string
	Kernel     string // release
	BootID     string
	UEFI       bool
	CPUs       int
	Memory     uint64 // bytes
	MemoryFree uint64
	Interfaces []Interface
}

// Interface is one network interface.
type Interface struct {
	Name, MAC string
	Addresses []string // with their network's size
	Up        bool
}

// Read examines this machine.
func Read() (Machine, error) {
	m := Machine{CPUs: runtime.NumCPU(), UEFI: UEFI()}
	var err error
	if m.Hostname, err = os.Hostname(); err != nil {
		return m, fmt.Errorf("examine the machine: %w", err)
	}
	if m.BootID, err = BootID(); err != nil {
		return m, err
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return m, fmt.Errorf("examine the machine: uname: %w", err)
	}
	m.Kernel = unix.ByteSliceToString(name.Release[:])
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return m, fmt.Errorf("examine the machine: sysinfo: %w", err)
	}
	m.Memory, m.MemoryFree = info.Totalram*uint64(info.Unit), info.Freeram*uint64(info.Unit)
	m.Interfaces, err = interfaces()
	return m, err
}

// UEFI tells whether the machine was booted by UEFI firmware.
func UEFI() bool {
	_, err := os.Stat("/sys/firmware/efi")
	return err == nil
}

// BootID tells this boot from every other one (random(4)).
func BootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the boot ID: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func interfaces() ([]Interface, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var out []Interface
	for _, i := range list {
		if i.Flags&net.FlagLoopback != 0 {
			continue
		}
		one := Interface{Name: i.Name, MAC: i.HardwareAddr.String(), Up: i.Flags&net.FlagUp != 0}
		addresses, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", i.Name, err)
		}
		for _, a := range addresses {
			one.Addresses = append(one.Addresses, a.String())
		}
		out = append(out, one)
	}
	return out, nil
}
