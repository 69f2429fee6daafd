package fstab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var entries = []Entry{
	{UUID: "r", Point: "/", Filesystem: "ext4"},
	{UUID: "v", Point: "/var", Filesystem: "xfs", Options: "noatime"},
	{UUID: "e-f", Point: "/boot/efi", Filesystem: "vfat", Options: "umask=0077,nofail"},
	{UUID: "s", Filesystem: "swap", Names: []string{"/dev/vda1", "PARTLABEL=KDPL_SWAP_disk0"}},
}

func TestMissing(t *testing.T) {
	all := []string{"UUID=r / ext4 defaults 0 1", "UUID=v /var xfs noatime 0 0", "UUID=e-f /boot/efi vfat umask=0077,nofail 0 2", "UUID=s none swap sw 0 0"}
	for _, tt := range []struct {
		name, table string
		want        []string
	}{
		{"an empty table", "", all},
		{"comments, and what is too short", "# UUID=x / ext4 defaults 0 1\n\n/var\n", all},
		{"root and var by other names", "LABEL=x  /\text4 errors=remount-ro 0 1\nPARTLABEL=y /var/ ext4", all[2:]},
		{"swap by its name", "/dev/vda1 none swap sw 0 0", all[:3]},
		{"swap by its label, quoted", `PARTLABEL="KDPL_SWAP_disk0" none swap sw`, all[:3]},
		{"another swap", "UUID=t none swap sw 0 0", all},
		{"all", "a /\nb /var\nc /boot/efi\nUUID=s swap swap", nil},
	} {
		if diff := cmp.Diff(tt.want, Missing(tt.table, entries)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestComplete(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	table := filepath.Join(root, "etc/fstab")
	if err := os.WriteFile(table, []byte("# mine\nUUID=x / ext4"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time everything is there
		if _, err := Complete(root, entries); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	want := "# mine\nUUID=x / ext4\nUUID=v /var xfs noatime 0 0\nUUID=e-f /boot/efi vfat umask=0077,nofail 0 2\nUUID=s none swap sw 0 0\n"
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(table); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// A link out of the system is one inside of it: the file of the mini-OS is not touched.
	outside := filepath.Join(t.TempDir(), "fstab")
	if err := os.WriteFile(outside, []byte("mini"), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Remove(table)
	if err := os.Symlink(outside, table); err != nil {
		t.Fatal(err)
	}
	if _, err := Complete(root, entries); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(outside); string(text) != "mini" {
		t.Errorf("a file outside became %q", text)
	}
}

func FuzzMissing(f *testing.F) {
	f.Add("UUID=x / ext4\n/dev/vda1 none swap\n")
	f.Fuzz(func(t *testing.T, table string) {
		lines := Missing(table, entries)
		if more := Missing(table+"\n"+strings.Join(lines, "\n"), entries); len(more) > 0 {
			t.Errorf("after %q was added to %q, %q is missing", lines, table, more)
		}
	})
}
