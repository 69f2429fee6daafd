package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kadeploy/minios/lab"
)

// partition makes the image of a partition out of debian12-min's archive, in $1.
const partition = `
cd "$1"; mkdir tree
tar --zstd -xpf "$2" -C tree --numeric-owner --xattrs --xattrs-include='*'
truncate -s 700M ext4
mke2fs -q -t ext4 -U 11111111-2222-3333-4444-555555555555 -d tree ext4
rm -rf tree
zstd -q --rm -T2 -3 ext4
`

// kind is one way to deploy an environment.
type kind struct {
	name, image   string
	description   string // of the image
	args          []string
	device, check string // that / is on; a command for the node, and what it prints
	want          string
}

// TestPartitionImage deploys and boots the image of a partition.
func TestPartitionImage(t *testing.T) {
	r := startLab(t, lab.Options{Nodes: 1}, nil)
	r.must(exec.Command("bash", "-ec", partition, "partition", r.dir, filepath.Join(r.envs, "debian12-min.tar.zst")))
	r.deployKind(kind{"partition image", "ext4.zst", "kind: dd, compression: zstd", nil, "/dev/vda3",
		"findmnt -no UUID /", "11111111-2222-3333-4444-555555555555"}, "node-1")
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
}
