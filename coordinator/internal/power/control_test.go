package power

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/cluster"
)

// controllers stand for the drivers, which package bmc tests against real ones.
type controllers struct {
	mu    sync.Mutex
	asked []string
}

func (c *controllers) Has(_ string, op Op, level int) bool {
	return op != Reboot || level > cluster.LevelSoft
}

func (c *controllers) Control(_ context.Context, _ cluster.BMC, host string, op Op, level int) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, fmt.Sprintf("%s %s %d", host, op, level))
	if op == Reboot && level == cluster.LevelHard {
		return "", errors.New("busy")
	}
	return "on", nil
}

// TestControllers: a controller does what the site has no command for, at the levels
// that it knows, and a failure goes on to the next level.
func TestControllers(t *testing.T) {
	bmc := &controllers{}
	s := New(Config{BMC: bmc})
	c := &cluster.Cluster{BMC: &cluster.BMC{Driver: cluster.IPMI, Address: "HOSTNAME_SHORT-bmc:9"}}
	c.Remote.PowerStatus.Line = "echo by command"
	outcome := func(op Op) (out Outcome) {
		s.Perform(t.Context(), c, op, cluster.LevelSoft, []string{"n-1.site"}, Watch{}, func(_ string, o Outcome) { out = o })
		return out
	}
	if out := outcome(Reboot); out.Err != nil || out.Level != cluster.LevelVeryHard || out.Stdout != "on" {
		t.Errorf("reboot: %+v", out)
	}
	if out := outcome(Status); out.Err != nil || out.Stdout != "by command\n" {
		t.Errorf("status: %+v", out)
	}
	if out := outcome(On); out.Err != nil || out.Command != "ipmi n-1-bmc:9: soft_power_on" {
		t.Errorf("on: %+v", out)
	}
	want := []string{"n-1-bmc:9 reboot 1", "n-1-bmc:9 reboot 2", "n-1-bmc:9 power_on 0"}
	if diff := cmp.Diff(want, bmc.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}
