package steps

import (
	"context"
	"fmt"
	"strings"

	"kadeploy/coordinator/internal/workflow"
)

// trust makes sure that the node runs the trusted system. The coordinator's records
// come first: what the node says can only take trust away.
func (n nodes) trust(ctx context.Context, t *workflow.Task, node string) error {
	if doubt := t.Request.Doubts[node]; doubt != "" {
		return fmt.Errorf("the system of the node is not trusted: %s", doubt)
	}
	if t.Cluster.Trusted == nil {
		return fmt.Errorf("no system of cluster %s is trusted: trusted_deployment is not configured", t.Cluster.Name)
	}
	if n.resident(node) {
		return fmt.Errorf("the system of the node is not trusted: it runs the mini-OS, not that of %s", t.Cluster.Trusted.Partition)
	}
	if _, err := n.execute(ctx, t, node, "check the trusted system", rootIsOn(trustedDevices(t)), nil); err != nil {
		return fmt.Errorf("the system of the node is not trusted: %w", err)
	}
	return nil
}

// trustedDevices are the names under which a node may know the trusted partition.
func trustedDevices(t *workflow.Task) []string {
	disk, label, number := t.Cluster.TrustedPlace()
	var devices []string
	if label != "" {
		devices = append(devices, labelPath(label, disk))
	}
	if number > 0 && (disk == t.Cluster.Partitioning.DiskID || !isDiskID(disk)) {
		device := t.Cluster.Partitioning.BlockDevice
		if !isDiskID(disk) {
			device = disk
		}
		devices = append(devices, partitionPath(device, uint32(number)))
	}
	return devices
}

// rootIsOn is a shell line that succeeds if / is on one of the devices.
func rootIsOn(devices []string) string {
	var words []string
	for _, d := range devices {
		words = append(words, quote(d))
	}
	return `root=$(awk '$2 == "/" && $1 ~ "^/dev/" { print $1 }' /proc/self/mounts | tail -n 1)
root=$(readlink -f "${root:-none}")
for device in ` + strings.Join(words, " ") + `; do
	[ -e "$device" ] && [ "$(readlink -f "$device")" = "$root" ] && exit 0
done
echo "its root is on ${root:-no disk}, not on ` + strings.ReplaceAll(strings.Join(devices, " or "), `"`, "") + `" >&2
exit 1`
}

// checkNodes is the first micro-step of a deployment out of the production system:
// that system has to be the trusted one, and needs an agent for what follows.
type checkNodes struct{ nodes }

func (s checkNodes) do(ctx context.Context, t *workflow.Task, node string) error {
	if doubt := t.Request.Doubts[node]; doubt != "" {
		return fmt.Errorf("the node does not run the production system: %s", doubt)
	}
	if t.Cluster.Trusted == nil {
		return fmt.Errorf("which system of cluster %s is the production system is not known: give trusted_deployment", t.Cluster.Name)
	}
	if _, err := s.execute(ctx, t, node, "check the production system", rootIsOn(trustedDevices(t)), nil); err != nil {
		return err
	}
	if !s.resident(node) {
		return fmt.Errorf("the production system of the node runs no kadeploy-agent, which would do what follows: use SetDeploymentMiniOSTrusted")
	}
	return nil
}
