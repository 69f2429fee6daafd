package bmc

import (
	"context"
	"strings"
	"testing"
	"time"

	"kadeploy/coordinator/internal/cluster"
)

// machine is what stands behind a controller under test.
type machine struct {
	bmc  cluster.BMC
	host string
	did  func() []string // what the controller did to the machine, in its own words
}

// TestDrivers: every driver passes the same suite.
func TestDrivers(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) machine{cluster.IPMI: startIPMI, cluster.Redfish: startRedfish} {
		t.Run(name, func(t *testing.T) { conform(t, start(t)) })
	}
}

func conform(t *testing.T, m machine) {
	ask := func(a Action) string {
		t.Helper()
		answer, err := Do(t.Context(), m.bmc, m.host, a)
		if err != nil {
			t.Errorf("%s: %v", a, err)
		}
		return answer
	}
	power := func(want string, after Action) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second) // a cycle takes as long as the controller says
		for got := ask(Status); got != want; got = ask(Status) {
			if time.Now().After(deadline) || t.Failed() {
				t.Fatalf("after %s the machine is %s, want %s", after, got, want)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	power("on", None)
	for _, step := range []struct {
		do   Action
		want string
	}{{Off, "off"}, {On, "on"}, {GentleOff, "off"}, {Reset, "on"}, {Reset, "on"}, {Cycle, "on"}, {Off, "off"}, {Cycle, "on"}} {
		before := len(m.did())
		ask(step.do)
		power(step.want, step.do)
		if len(m.did()) == before {
			t.Errorf("%s: the controller did nothing", step.do)
		}
	}
	for op, levels := range actions[m.bmc.Driver] {
		if levels[cluster.LevelVeryHard] == None {
			t.Errorf("%s: no action at the last level", op)
		}
	}
	wrong := m.bmc
	wrong.Password = "wrong"
	if _, err := Do(t.Context(), wrong, m.host, Off); err == nil || !strings.Contains(err.Error(), m.host) {
		t.Errorf("wrong password: %v", err)
	}
	power("on", "a wrong password")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	start := time.Now()
	if _, err := Do(ctx, m.bmc, "127.0.0.1:9", Status); err == nil || time.Since(start) > 4*time.Second {
		t.Errorf("nobody there: %v after %v", err, time.Since(start))
	}
	if _, err := Do(t.Context(), m.bmc, "127.0.0.1:many", Status); err == nil || !strings.Contains(err.Error(), `port "many"`) {
		t.Errorf("wrong port: %v", err)
	}
}

func TestActionFor(t *testing.T) {
	for _, c := range []struct {
		driver, op string
		level      int
		want       Action
	}{
		{cluster.IPMI, "reboot", cluster.LevelSoft, None}, {cluster.IPMI, "reboot", cluster.LevelHard, Reset},
		{cluster.Redfish, "reboot", cluster.LevelSoft, GentleRestart}, {cluster.Redfish, "power_off", cluster.LevelSoft, GentleOff},
		{cluster.IPMI, "dance", 0, None}, {"ssh", "reboot", 0, None}, {cluster.IPMI, "reboot", 3, None},
	} {
		if got := ActionFor(c.driver, c.op, c.level); got != c.want {
			t.Errorf("ActionFor(%s, %s, %d) = %q, want %q", c.driver, c.op, c.level, got, c.want)
		}
	}
}
