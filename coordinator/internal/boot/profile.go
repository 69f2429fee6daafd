package boot

import (
	"context"
	"strings"

	"kadeploy/coordinator/internal/boot/userfile"
	"kadeploy/coordinator/internal/profile"
)

// Profiles says what a node boots now; it is asked each time that a node boots.
type Profiles interface {
	BootProfile(ctx context.Context, node string) (profile.Profile, error)
}

// Tokens makes the one-time token with which the agent of a node proves itself.
// It refuses for a node that no workflow is waiting for.
type Tokens interface {
	Mint(ctx context.Context, node string) (string, error)
}

// customScript is the user's script with its two patterns replaced. A node
// without a value of its own keeps NODE_SINGULARITY as it stands, as ever.
func customScript(p profile.Profile, userFiles string) string {
	pairs := []string{"FILES_PREFIX", userFiles + userfile.Prefix(p.User)}
	if p.Singularity != "" {
		pairs = append(pairs, "NODE_SINGULARITY", p.Singularity)
	}
	return strings.NewReplacer(pairs...).Replace(p.Script)
}
