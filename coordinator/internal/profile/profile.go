// Package profile is what a node boots the next time that it asks: data only,
// shared by the step that sets it, the store that keeps it and the boot service that serves it.
package profile

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

	// Of Local: where the deployed system is. iPXE boots the disk as the firmware
	// would, so they serve only those who write classical profile files.
	Disk, Partition int
}
