package workflow

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/layout"
)

// builtinParts are the partitions of the built-in scheme, whose sizes only the agents
// know (agent/internal/disk/scheme.go).
var builtinParts = []layout.Part{
	{Number: 1, Label: "SWAP"}, {Number: 2, Label: "PROD"}, {Number: 3, Label: "DEPLOY"},
	{Number: 4, Label: "EFI"}, {Number: 5, Label: "TMP"}, {Number: 6, Label: "BIOS"},
}

// checkPlace refuses a partition (-p) that the nodes will not have, before they are
// rebooted for it. Only where every way to prepare them makes partitions of which all
// is known: no script, preinstall or custom operation, and no table that stays.
func (r *Request) checkPlace(c *cluster.Cluster, plan *Plan) error {
	if r.Partition == "" || r.NoPartition || r.Env == nil || r.Env.Preinstall != nil || len(c.Partitioning.Script) > 0 {
		return nil
	}
	for _, m := range plan.Macros {
		if m.Name == SetDeploymentEnv && slices.ContainsFunc(m.Instances, func(i Instance) bool { return !i.partitionsAlone() }) {
			return nil
		}
	}
	parts, scheme := layout.On(r.Layout(c), ""), "layout"
	if len(parts) == 0 {
		parts, scheme = builtinParts, "built-in scheme"
	}
	place := r.Place(c)
	if slices.ContainsFunc(parts, place.Is) {
		return nil
	}
	var known []string
	for _, p := range parts {
		known = append(known, fmt.Sprintf("%s (%d)", p.Label, p.Number))
	}
	remedy := "choose one with -p"
	if _, err := strconv.Atoi(r.Partition); err != nil {
		remedy += ", or make it with custom operations (--custom-steps)"
	}
	return failure(invalidOption, "Parameter 'deploy_partition': the %s of cluster %s has no partition %s; it has %s: %s",
		scheme, c.Name, r.Partition, strings.Join(known, ", "), remedy)
}

// partitionsAlone tells whether an instance makes the partition table, and nothing of a
// user's or a site's stands beside that.
func (i Instance) partitionsAlone() bool {
	made := false
	for _, m := range i.Micros {
		if m.Op != nil {
			return false
		}
		made = made || m.Name == CreatePartitionTable
	}
	return made
}
