package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLab: the built-in lab is a good configuration, and says the one thing that it lacks.
func TestLab(t *testing.T) {
	dir, state := filepath.Join(t.TempDir(), "conf"), t.TempDir()
	if !Missing(dir) {
		t.Errorf("Missing(%s) = false before anything was written", dir)
	}
	lab := Lab{State: state, Socket: filepath.Join(state, "s"), Admins: "root,alice"}
	if err := WriteLab(dir, lab); err != nil {
		t.Fatal(err)
	}
	if Missing(dir) {
		t.Errorf("Missing(%s) = true after the lab was written", dir)
	}
	c, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Reason, "nothing tells nodes what to boot") {
		t.Errorf("warnings %v, want only that nothing tells nodes what to boot", c.Warnings)
	}
	if got := len(c.Site.Clusters[0].Nodes); got != 3 || c.Server.API.Socket != lab.Socket || len(c.Server.Rights.Almighty) != 2 {
		t.Errorf("%d nodes, socket %s, administrators %v", got, c.Server.API.Socket, c.Server.Rights.Almighty)
	}
	for _, name := range []string{"SetDeploymentEnv", "BroadcastEnv", "BootNewEnv"} {
		if text, err := os.ReadFile(filepath.Join(dir, "lab-cluster.conf")); err != nil || !strings.Contains(string(text), name) {
			t.Errorf("lab-cluster.conf without %s: %v", name, err)
		}
	}
	if err := WriteLab(dir, Lab{State: "/x: y", Socket: "/s"}); err == nil {
		t.Error("a path that YAML would read otherwise was accepted")
	}
}

// TestMissingIsNotUnreadable: a file that is there in any form is never taken for no configuration.
func TestMissingIsNotUnreadable(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dir, "server_conf.yml")); err != nil {
		t.Fatal(err)
	}
	if Missing(dir) {
		t.Error("a dangling link server_conf.yml counts as no configuration")
	}
}
