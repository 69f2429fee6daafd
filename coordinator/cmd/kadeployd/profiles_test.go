package main

import (
	"os"
	"path/filepath"
	"testing"
)

// bootProfiles has nodes boot profiles of users' own, with their files, as the
// site's boot server hands them out.
func bootProfiles(t *testing.T, s *site) {
	sshd(t, s, "127.0.2.5")
	sshd(t, s, "127.0.2.6")
	s.ok("", "POST", "/rights", `{"username":"petra","nodes":["node-5.lab","node-6.lab"]}`, nil)
	want := func(file, text string) {
		t.Helper()
		if got, err := os.ReadFile(filepath.Join(s.dir, "tftp", file)); err != nil || string(got) != text {
			t.Errorf("%s holds %q, %v, want %q", file, got, err, text)
		}
	}
	pxe := `"pxe":{"profile":"KERNEL FILES_PREFIX--image.tgz NODE_SINGULARITY\n","singularities":{"node-5":"five","node-6.lab":"six"},"files":["server://` + s.dir + `/images/image.tgz"]}`
	_, e := s.order("petra", "POST", "/reboot", `{"kind":"set_pxe","nodes":["node-[5-6].lab"],`+pxe+`}`)
	if len(e.Nodes.OK) != 2 {
		t.Errorf("%+v", e)
	}
	want("users/pxe-petra--image.tgz", "an image")
	want("pxelinux.cfg/node-5.lab", "KERNEL http://boot.lab/users/pxe-petra--image.tgz five\n")
	want("pxelinux.cfg/node-6.lab", "KERNEL http://boot.lab/users/pxe-petra--image.tgz six\n")

	// Deployed nodes boot it too, instead of their disk.
	automata := `"automata":{"SetDeploymentEnv":[{"name":"SetDeploymentEnvDummy"}],"BroadcastEnv":[{"name":"BroadcastEnvDummy"}],"BootNewEnv":[{"name":"BootNewEnvHardReboot"}]}`
	for pxe, profile := range map[string]string{
		`,"pxe":{"profile":"LOCALBOOT 0\n"}`: "LOCALBOOT 0\n",
		"":                                   "DEFAULT local\nLABEL local\n\tCOM32 http://boot.lab/chain.c32\n\tAPPEND hd0 3\n",
	} {
		_, e := s.order("petra", "POST", "/deployment", `{"nodes":"node-5","environment":{"kind":"anonymous",`+s.environment("mine", "")+`},`+automata+pxe+`}`)
		if len(e.Nodes.OK) != 1 {
			t.Errorf("deployed with %q: %+v", pxe, e)
		}
		want("pxelinux.cfg/node-5.lab", profile)
	}

	for body, code := range map[string]string{
		`"kind":"set_pxe","pxe":{"profile":"x","files":["/a/k","server:///b/k"]}`: "4",
		`"kind":"set_pxe","pxe":{"profile":"x","singularities":{"node-99":"y"}}`:  "2",
		`"kind":"set_pxe","pxe":{"files":["server:///b/k"]}`:                      "12",
		`"kind":"set_pxe","pxe":"x"`:                                              "4",
		`"kind":"simple","pxe":{"profile":"x"}`:                                   "4",
	} {
		if a := s.ask("petra", "POST", "/reboot", `{"nodes":"node-5",`+body+`}`); a.code() != code {
			t.Errorf("%s = %d %s, want code %s", body, a.status, a.body, code)
		}
	}
	op, e := s.order("petra", "POST", "/reboot", `{"kind":"set_pxe","nodes":"node-5","pxe":{"profile":"x","files":["server://`+s.dir+`/images/big"]}}`)
	if a := s.ask("petra", "GET", op.Resources.Error, ""); !e.Error || a.code() == "" {
		t.Errorf("a file that is too big: %+v, %s", e, a.body)
	}
}
