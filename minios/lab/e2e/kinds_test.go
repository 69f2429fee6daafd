package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kadeploy/minios/lab"
)

// kinds makes an image of each kind out of debian12-min's archive, in $1.
const kinds = `
cd "$1"; mkdir tree
tar --zstd -xpf "$2" -C tree --numeric-owner --xattrs --xattrs-include='*'
zstd -dcq "$2" | gzip -1 > tar.gz
zstd -dcq "$2" | xz -0 -T2 > tar.xz
truncate -s 700M ext4
mke2fs -q -t ext4 -U 11111111-2222-3333-4444-555555555555 -d tree ext4
truncate -s 1G disk
sgdisk -n 1:2048:+8M -c 1:FIRST -n 2:0:+720M -c 2:SYSTEM disk > /dev/null
rm -rf tree
tune2fs -U 99999999-2222-3333-4444-555555555555 ext4 > /dev/null
dd if=ext4 of=disk bs=1M seek=9 conv=notrunc,sparse status=none # partition 2 begins there
tune2fs -U 11111111-2222-3333-4444-555555555555 ext4 > /dev/null
zstd -q --rm -T2 -3 ext4 disk
`

// kind is one way to deploy an environment.
type kind struct {
	name, image   string
	description   string // of the image
	args          []string
	device, check string // that / is on; a command for the node, and what it prints
	want          string
}

// TestKinds deploys and boots images of several kinds, one after the other, on one machine.
func TestKinds(t *testing.T) {
	r := startLab(t, lab.Options{Nodes: 1}, nil)
	r.must(exec.Command("bash", "-ec", kinds, "kinds", r.dir, filepath.Join(r.envs, "debian12-min.tar.zst")))
	const partitionUUID, diskUUID = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
	const root, label = "findmnt -no UUID /", "lsblk -no PARTLABEL /dev/vda3"
	for _, k := range []kind{
		{"partition image", "ext4.zst", "kind: dd, compression: zstd", nil, "/dev/vda3", root, partitionUUID},
		{"disk image", "disk.zst", "kind: dd, compression: zstd", []string{"-b", "/dev/vda", "-c", "2"}, "/dev/vda2", root, diskUUID},
		// Over what the disk image left: its partitions are gone.
		{"tar.gz", "tar.gz", "kind: tar, compression: gzip", nil, "/dev/vda3", label, "KDPL_DEPLOY_disk0"},
		{"tar.xz", "tar.xz", "kind: tar, compression: xz", []string{"--no-prepare"}, "/dev/vda3", label, "KDPL_DEPLOY_disk0"},
	} {
		t.Run(k.name, func(t *testing.T) {
			if testing.Short() && k.name != "partition image" {
				t.Skip(whole)
			}
			one := *r
			one.t = t
			one.deployKind(k, "node-1")
		})
		if t.Failed() {
			return
		}
	}
}

// deployKind deploys one environment on one node, and looks at the system there.
func (r *rig) deployKind(k kind, node string) {
	t := r.t
	begin := time.Now()
	description := r.path(k.image + ".dsc")
	text := fmt.Sprintf("name: %s\nversion: 1\nos: linux\nimage: {file: 'server://%s', %s}\n"+
		"postinstalls:\n- archive: server://%s/debian12-min-postinstall.tar.gz\n  compression: gzip\n  script: debian12-min-postinstall --fstab uuid --console ttyS0\n"+
		"boot:\n  kernel: /vmlinuz\n  initrd: /initrd.img\n  kernel_params: 'console=ttyS0,115200'\nfilesystem: ext4\npartition_type: 131\n",
		k.image, r.path(k.image), k.description, r.envs)
	if err := os.WriteFile(description, []byte(text), 0o644); err != nil {
		t.Error(err)
		return
	}
	ok := r.path(k.image + ".ok")
	args := append([]string{"-a", description, "-m", node + ".lab", "-k", r.path("user.pub"), "-o", ok, "--force-steps", once}, k.args...)
	out, err := r.command("kadeploy3", args...).CombinedOutput()
	t.Logf("%s, on %s, after %.0f s:\n%s", k.name, node, time.Since(begin).Seconds(), out)
	if list := r.lines(ok); err != nil || len(list) != 1 {
		t.Errorf("%s: %v, nodes that are up: %v", k.name, err, list)
		return
	}
	answer := func(command string) string {
		text, err := r.shell(t.Context(), node, "user", command)
		if err != nil {
			t.Errorf("%s: %v", k.name, err)
		}
		return text
	}
	for command, want := range map[string]string{
		"sed -n s/^ID=//p /etc/os-release": "debian",
		"hostname":                         node + ".lab",
		"findmnt -no SOURCE /":             k.device,
		k.check:                            k.want,
		"findmnt -no UUID / | sed s/^/root=UUID=/ | grep -qFf - /proc/cmdline && echo by UUID": "by UUID",
	} {
		if got := answer(command); got != want {
			t.Errorf("%s: %s is %q, want %q", k.name, command, got, want)
		}
	}
	if strings.Contains(k.name, "disk") {
		// The disk is bigger than the image's: its table was made to fit.
		i := slices.IndexFunc(r.Plan().Nodes, func(n lab.Node) bool { return n.Short == node })
		contains(t, k.name, r.must(exec.Command("sgdisk", "-v", r.Plan().Nodes[i].Disk)), "No problems found")
	}
}
