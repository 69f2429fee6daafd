package steps

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"kadeploy/coordinator/internal/nodeset"
	"kadeploy/coordinator/internal/workflow"
)

// defaultVLAN is what the site's command is told for the VLAN of deployments.
const defaultVLAN = "DEFAULT"

// setVLAN moves the nodes of a set by one run of the site's command.
type setVLAN struct{ nodes }

func (s setVLAN) Run(ctx context.Context, t *workflow.Task, report func(node string, err error)) {
	reportAll(t.Nodes, s.move(ctx, t), report)
}

func (s setVLAN) move(ctx context.Context, t *workflow.Task) error {
	if s.VLANs == nil {
		return errors.New("this site has no VLANs: network/vlan is not configured")
	}
	id := defaultVLAN
	if t.Micro == workflow.SetVLAN && t.Argument == workflow.VLANUser {
		id = t.Request.VLAN
	}
	line, output, err := s.VLANs.Move(ctx, t.Nodes, id, t.Request.User)
	if t.Output != nil {
		for _, node := range t.Nodes {
			t.Output(node, line, output, "", exitOf(err))
		}
	}
	if err != nil {
		return fmt.Errorf("set VLAN %s on %s: %w", id, nodeset.Fold(t.Nodes), err)
	}
	return nil
}

// address is where a node is found after it was rebooted: a node that was moved
// to the user's VLAN has another address there.
func (s waitReboot) address(t *workflow.Task, node string) (netip.Addr, error) {
	moved := t.Request.Kind == workflow.Reboot || strings.HasPrefix(t.Argument, "user")
	if t.Request.VLAN == "" || !moved {
		return address(t, node)
	}
	a, ok := t.Request.VLANAddrs[node]
	if !ok {
		return netip.Addr{}, fmt.Errorf("the address of %s in VLAN %s is not known", node, t.Request.VLAN)
	}
	return a, nil
}
