package steps

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/workflow"
)

// site notes what is asked of a site's network and of the prober.
type site struct {
	calls []string
	err   error
}

func (s *site) Move(_ context.Context, nodes []string, id, user string) (string, string, error) {
	s.calls = append(s.calls, fmt.Sprintf("%s to %s for %s", strings.Join(nodes, ","), id, user))
	return "kavlan", "", s.err
}

func (s *site) MiniOS(_ context.Context, a netip.Addr) error {
	s.calls = append(s.calls, "mini-OS at "+a.String())
	return nil
}

func (s *site) UserSystem(_ context.Context, a netip.Addr) error {
	s.calls = append(s.calls, "system at "+a.String())
	return nil
}

func TestNodesAreFoundInTheVLANThatTheyWereMovedTo(t *testing.T) {
	addr := netip.MustParseAddr
	for _, c := range []struct {
		name            string
		kind            workflow.Kind
		vlan            string
		micro, argument string
		want            []string
	}{
		{"default", workflow.Deploy, "4", workflow.SetVLAN, workflow.VLANDefault, []string{"a,b to DEFAULT for alice"}},
		{"default, newer name", workflow.Deploy, "4", workflow.SetDefaultVLAN, "", []string{"a,b to DEFAULT for alice"}},
		{"user's", workflow.Deploy, "4", workflow.SetVLAN, workflow.VLANUser, []string{"a,b to 4 for alice"}},
		{"mini-OS of a deployment", workflow.Deploy, "4", workflow.WaitReboot, workflow.WaitDeploy, []string{"mini-OS at 10.0.0.1"}},
		{"system", workflow.Deploy, "4", workflow.WaitReboot, workflow.WaitUser, []string{"system at 10.4.0.1"}},
		{"system, kexec", workflow.Deploy, "4", workflow.WaitReboot, workflow.WaitUserKexec, []string{"system at 10.4.0.1"}},
		{"mini-OS of a reboot", workflow.Reboot, "4", workflow.WaitReboot, workflow.WaitDeploy, []string{"mini-OS at 10.4.0.1"}},
		{"no VLAN", workflow.Deploy, "", workflow.WaitReboot, workflow.WaitUser, []string{"system at 10.0.0.1"}},
	} {
		s := &site{}
		tk := &workflow.Task{
			Request: &workflow.Request{Kind: c.kind, User: "alice", VLAN: c.vlan, VLANAddrs: map[string]netip.Addr{"a": addr("10.4.0.1"), "b": addr("10.4.0.2")}},
			Cluster: &cluster.Cluster{Nodes: []cluster.Node{{Name: "a", Address: addr("10.0.0.1")}, {Name: "b", Address: addr("10.0.0.2")}}},
			Micro:   c.micro, Argument: c.argument, Nodes: []string{"a"},
		}
		if c.micro != workflow.WaitReboot {
			tk.Nodes = []string{"a", "b"}
		}
		reported := 0
		All(Config{Agents: crew{}, VLANs: s, Prober: s, Boots: &machine{}})[c.micro].Run(t.Context(), tk, func(node string, err error) {
			reported++
			if err != nil {
				t.Errorf("%s: %s: %v", c.name, node, err)
			}
		})
		if diff := cmp.Diff(c.want, s.calls); diff != "" || reported != len(tk.Nodes) {
			t.Errorf("%s: %d of %d nodes reported\n%s", c.name, reported, len(tk.Nodes), diff)
		}
	}
}

func TestAFailedMoveFailsEveryNodeOfTheSet(t *testing.T) {
	s := &site{err: errors.New("exit status 3: no such vlan")}
	tk := &workflow.Task{Request: &workflow.Request{User: "alice", VLAN: "4"}, Micro: workflow.SetVLAN, Argument: workflow.VLANUser, Nodes: []string{"n-1", "n-2"}}
	var got []string
	setVLAN{nodes{Config{VLANs: s}}}.Run(t.Context(), tk, func(node string, err error) { got = append(got, fmt.Sprint(node, ": ", err)) })
	why := "set VLAN 4 on n-[1-2]: exit status 3: no such vlan"
	if diff := cmp.Diff([]string{"n-1: " + why, "n-2: " + why}, got); diff != "" {
		t.Error(diff)
	}
}
