package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kadeploy/minios/lab"
)

// TestDisks deploys one machine with two large SCSI disks.
func TestDisks(t *testing.T) {
	r := startLab(t, lab.Options{Nodes: 1, Disks: 2, DiskBytes: 80e9, SCSI: true}, func(r *rig) {
		file := filepath.Join(r.opts.Directory, "lab-cluster.conf")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		known := strings.Replace(string(text), "  block_device: /dev/sda\n", "  block_device: disk0\n"+
			"  disk_path: {disk0: /dev/sda, disk1: {serial: node-*-disk1, size: 80GB}}\n", 1)
		if err := os.WriteFile(file, []byte(known), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	for _, part := range []struct {
		name string
		run  func(*testing.T, *rig)
	}{
		{"layout", onLayout},
	} {
		t.Run(part.name, func(t *testing.T) {
			inner := *r
			inner.t = t
			part.run(t, &inner)
		})
	}
}

// lands deploys, and checks on what partition the root is.
func (r *rig) lands(label string, args ...string) {
	r.t.Helper()
	out := r.deploy(append(args, "-m", "node-1.lab", "--force-steps", once)...)
	same(r.t, "nodes that are up", out.ok, "node-1.lab")
	if r.t.Failed() {
		r.t.FailNow()
	}
	if got := r.login("node-1", "findmnt -no PARTLABEL /"); got != label {
		r.t.Errorf("the root is on %s, want %s", got, label)
	}
}

func onLayout(t *testing.T, r *rig) {
	more := `options:
  layout:
  - {label: BIOS, size: 1MiB, type: bios}
  - {label: ROOT, size: 10%, mount: /, mkfs: -m 0}
  - {label: LIB, disk: disk1, size: 2GiB, filesystem: xfs, mount: /var/lib/data}
  - {label: VAR, size: 2GiB, filesystem: ext4, mount: /var, options: "noatime,nofail"}
  - {label: SWAP, size: 256MiB, type: swap}
  - {label: REST, size: rest, filesystem: btrfs, mount: /srv}
`
	r.lands("KDPL_ROOT_disk0", "-a", r.environment("layout", more, ""))
	for command, want := range map[string]string{
		"findmnt -no FSTYPE,PARTLABEL /var":          "ext4 KDPL_VAR_disk0",
		"findmnt -no FSTYPE,PARTLABEL /var/lib/data": "xfs KDPL_LIB_disk1",
		"findmnt -no FSTYPE,PARTLABEL /srv":          "btrfs KDPL_REST_disk0",
		"findmnt -no TARGET -T /var/lib/dpkg/status": "/var",
		"swapon --show=NAME --noheadings":            "/dev/sda4",
		"systemctl is-failed var.mount srv.mount":    "active\nactive",
	} {
		got := r.login("node-1", command+" || true")
		if got = regexp.MustCompile(` +`).ReplaceAllString(got, " "); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	contains(t, "fstab", r.login("node-1", "cat /etc/fstab"), " /var ext4 noatime,nofail 0 2", " /var/lib/data xfs defaults 0 0", " /srv btrfs defaults 0 0")
}
