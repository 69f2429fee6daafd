package boot

import (
	"context"
	"strings"
)

// Profiles says what a node boots now; it is asked each time that a node boots.
type Profiles interface {
	BootProfile(ctx context.Context, node string) (Profile, error)
}

// Tokens makes the one-time token with which the agent of a node proves itself.
// It refuses for a node that no workflow is waiting for.
type Tokens interface {
	Mint(ctx context.Context, node string) (string, error)
}

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

// customScript is the user's script with its two patterns replaced. A node
// without a value of its own keeps NODE_SINGULARITY as it stands, as ever.
func customScript(p Profile, userFiles string) string {
	pairs := []string{"FILES_PREFIX", userFiles + userFilePrefix(p.User)}
	if p.Singularity != "" {
		pairs = append(pairs, "NODE_SINGULARITY", p.Singularity)
	}
	return strings.NewReplacer(pairs...).Replace(p.Script)
}

// userFilePrefix begins the names of the files that a user has uploaded.
func userFilePrefix(user string) string { return "pxe-" + user }
