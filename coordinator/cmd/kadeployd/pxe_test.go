package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kadeploy/coordinator/internal/boot/profilefile"
	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/config"
	"kadeploy/coordinator/internal/identity"
	"kadeploy/coordinator/internal/profile"
	"kadeploy/coordinator/internal/store"
)

// TestSiteProfiles: where the site has a boot server of its own, a node's profile
// file carries what its agent needs, and a token that admits it once.
func TestSiteProfiles(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"pxelinux.cfg", "users"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	method := config.PXEMethod{
		Method: "PXElinux", Repository: dir, ExportKind: "tftp", ExportServer: "LOCAL_IP",
		ProfilesDirectory: filepath.Join(dir, "pxelinux.cfg"), ProfilesFilename: "hostname", UserFiles: filepath.Join(dir, "users"),
	}
	d := &daemon{store: db, cfg: &config.Config{
		Server: config.Server{Hostname: "localhost", Agents: config.Agents{Address: "10.0.0.1", Port: 25301}, PXE: &config.PXE{DHCP: method, NetworkBoot: method, LocalBoot: method}},
		Site:   &cluster.Site{Clusters: []*cluster.Cluster{{Name: "a", Nodes: []cluster.Node{{Name: "n-1.site"}}, PXEHeaders: cluster.PXEHeaders{Network: "PROMPT 0"}}}},
	}}
	if d.cert, err = identity.Load(filepath.Join(t.TempDir(), "identity.pem"), "localhost"); err != nil {
		t.Fatal(err)
	}
	profiles, err := d.profiles()
	if err != nil {
		t.Fatal(err)
	}
	if err := profiles.SetBootProfile(t.Context(), "n-1.site", "D-1", profile.Profile{Kind: profile.MiniOS, Kernel: "vmlinuz", Initrd: "initrd", Params: "quiet"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pxelinux.cfg", "n-1.site"))
	want := regexp.MustCompile(`^PROMPT 0\nDEFAULT network\nLABEL network\n\tKERNEL /vmlinuz\n\tAPPEND initrd=/initrd quiet kadeploy.coordinator=10.0.0.1:25301 kadeploy.node=n-1.site kadeploy.token=([0-9a-f]{32}) kadeploy.fingerprint=[0-9a-f]{64}\n$`)
	m := want.FindStringSubmatch(string(text))
	if err != nil || m == nil {
		t.Fatalf("profile: %v, %q", err, text)
	}
	if err := db.Admit(t.Context(), "n-1.site", m[1], "key"); err != nil {
		t.Errorf("the profile's token: %v", err)
	}
	if err := db.Admit(t.Context(), "n-1.site", m[1], "another"); err == nil {
		t.Error("the profile's token admitted a second agent")
	}
	local := profile.Profile{Kind: profile.Local, Partition: 3, System: profile.System{Device: "disk0"}}
	if err := profiles.SetBootProfile(t.Context(), "n-1.site", "D-1", local); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "pxelinux.cfg", "n-1.site")); err != nil || !strings.Contains(string(text), "APPEND hd0 3") {
		t.Errorf("local profile: %v, %q", err, text)
	}
	// In a VLAN the node has another address, and asks from either.
	profiles.(*siteProfiles).writer.DHCP.Naming, profiles.(*siteProfiles).writer.Local.Naming = profilefile.IP, profilefile.IP
	for n, m := range profiles.(*siteProfiles).machines {
		m.Addresses = []netip.Addr{netip.MustParseAddr("10.0.0.7")}
		profiles.(*siteProfiles).machines[n] = m
	}
	moved := local
	moved.VLAN = netip.MustParseAddr("10.9.0.7")
	if err := profiles.SetBootProfile(t.Context(), "n-1.site", "D-1", moved); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"10.0.0.7", "10.9.0.7"} {
		if text, err := os.ReadFile(filepath.Join(dir, "pxelinux.cfg", name)); err != nil || !strings.Contains(string(text), "APPEND hd0 3") {
			t.Errorf("profile for %s: %v, %q", name, err, text)
		}
	}
	if err := profiles.SetBootProfile(t.Context(), "n-2.site", "D-1", local); err == nil || !strings.Contains(err.Error(), "n-2.site") {
		t.Errorf("a node of no cluster: %v", err)
	}
}
