package cluster

import "testing"

func TestDoubt(t *testing.T) {
	std := &Trusted{Partition: "disk0/PROD", User: "oar", Envs: []TrustedEnv{{Name: "debian12-std", User: "deploy"}}}
	good := Deployed{State: "prod_env", User: "oar", Env: "debian12-std", EnvOwner: "deploy"}
	with := func(change func(d *Deployed)) Deployed { d := good; change(&d); return d }
	for _, c := range []struct {
		name    string
		trusted *Trusted
		was     Deployed
		trusts  bool
	}{
		{"the standard environment", std, good, true},
		{"deployed anew", std, with(func(d *Deployed) { d.State = "deployed" }), true},
		{"not configured", nil, good, false},
		{"unknown node", std, Deployed{}, false},
		{"failed", std, with(func(d *Deployed) { d.State = "deploy_failed" }), false},
		{"under way", std, with(func(d *Deployed) { d.State = "rebooting" }), false},
		{"in the mini-OS", std, with(func(d *Deployed) { d.State = "deploy_env" }), false},
		{"somebody else's", std, with(func(d *Deployed) { d.User = "alice" }), false},
		{"another environment", std, with(func(d *Deployed) { d.Env = "mine" }), false},
		{"of the same name", std, with(func(d *Deployed) { d.EnvOwner = "alice" }), false},
		{"destructive", std, with(func(d *Deployed) { d.Destructive = true }), false},
		{"any environment", &Trusted{User: "oar"}, with(func(d *Deployed) { d.Env = "" }), true},
		{"anybody's", &Trusted{}, with(func(d *Deployed) { d.User = "alice" }), true},
	} {
		if doubt := c.trusted.Doubt(c.was); (doubt == "") != c.trusts {
			t.Errorf("%s: Doubt = %q", c.name, doubt)
		}
	}
}

func TestTrustedPlace(t *testing.T) {
	scheme := Partitioning{DiskID: "disk0", DeployLabel: "DEPLOY", Deploy: 3, Swap: 1, Prod: 2, Tmp: -1}
	for text, want := range map[string]struct {
		disk, label string
		number      int
	}{
		"disk0/PROD": {"disk0", "PROD", 2},
		"PROD":       {"disk0", "PROD", 2},
		"2":          {"disk0", "PROD", 2},
		"disk1/7":    {"disk1", "", 7},
		"disk0/DATA": {"disk0", "DATA", 0},
		"/dev/sda/3": {"/dev/sda", "DEPLOY", 3},
		"disk0/tmp":  {"disk0", "TMP", 0},
	} {
		c := Cluster{Partitioning: scheme, Trusted: &Trusted{Partition: text}}
		disk, label, number := c.TrustedPlace()
		if disk != want.disk || label != want.label || number != want.number {
			t.Errorf("TrustedPlace of %q = %s, %q, %d; want %v", text, disk, label, number, want)
		}
	}
}
