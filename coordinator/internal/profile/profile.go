// Package profile is what a node boots the next time that it asks: data only,
// shared by the step that sets it, the store that keeps it and the boot service that serves it.
package profile

import "net/netip"

// Kind is what a profile boots.
type Kind string

// The kinds of profile.
const (
	Local  Kind = "local"  // the system on the node's own disk
	MiniOS Kind = "minios" // the deployment mini-OS
	Custom Kind = "custom" // a user's own script
)

// Profile is what one node boots.
type Profile struct {
	Kind Kind

	// Of MiniOS: file names in the repository, or URLs, and kernel arguments.
	Kernel, Initrd, Params string

	// Of Custom: an iPXE script, the node's own value for NODE_SINGULARITY, and
	// the user whose uploaded files FILES_PREFIX stands for (contract 6.1).
	Script      string
	Singularity string
	User        string

	// Of Local: where the deployed system is, and what it starts. The boot service
	// boots the disk as the firmware would, so they serve only those who write classical profile files.
	Partition int // 0: the disk's own boot record
	System    System

	// VLAN is the node's address in the VLAN that it is moved to: there it asks from
	// that one. Zero: it stays. It serves only those who write files for addresses.
	VLAN netip.Addr
}

// System is a deployed system, for boot loaders that load its kernel by themselves.
type System struct {
	OS                           string // linux, xen, other; "": not known
	Device                       string // the disk: /dev/sda
	Root                         string // device of the root file system: /dev/sda3
	Kernel, Initrd, Params       string // paths in the root file system
	Hypervisor, HypervisorParams string
}
