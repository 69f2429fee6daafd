package e2e

import (
	"os"
	"strings"
	"testing"
)

// onSecondDisk deploys on a disk that was a mirror with volumes on it, both running
// when the disk is to be partitioned: they are stopped, and no mark of them is left.
func onSecondDisk(t *testing.T, r *rig) {
	for name, text := range map[string]string{
		"stack.yml": `---
SetDeploymentEnvUntrusted:
  create_partition_table:
    pre-ops:
      - action: run
        name: stack
        file: stack.sh
`,
		// The mirror's halves begin where partitions of the built-in scheme do; the volume has its file system's label, too.
		"stack.sh": `#!/bin/sh -e
printf 'label: gpt\nstart=2MiB,size=3GiB,type=raid\nsize=3GiB,type=raid\nsize=3GiB,type=lvm\n' | sfdisk -q --wipe always --wipe-partitions always /dev/sdb
udevadm settle
mdadm --create /dev/md/old --run --assume-clean --metadata=1.0 --level=1 --raid-devices=2 /dev/sdb1 /dev/sdb2
pvcreate -y /dev/md/old
vgcreate old /dev/md/old
lvcreate -y -l 100%FREE -n root old
pvcreate -y /dev/sdb3
vgcreate spare /dev/sdb3
lvcreate -y -l 50%FREE -n one spare
mkfs.ext4 -q -L KDPL_OLD /dev/old/root
udevadm settle
lsblk -no NAME,TYPE /dev/sdb
`,
	} {
		if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.inDirectory(func() {
		r.lands("KDPL_DEPLOY_disk1", "-a", r.environment("second", "", ""), "-b", "disk1", "--custom-steps", "stack.yml", "-d")
	})
	if got := r.login("node-1", "lsblk -dno SERIAL $(lsblk -no PKNAME $(findmnt -no SOURCE /) | sed s,^,/dev/,)"); got != "node-1-disk1" {
		t.Errorf("the root is on the disk %s", got)
	}
	if got := r.login("node-1", "lsblk -no TYPE | sort -u | paste -sd' '"); got != "disk part" {
		t.Errorf("the node has block devices of the types %s", got)
	}
	marks := r.login("node-1", "wipefs --noheadings --output TYPE,LABEL $(lsblk -lnpo NAME /dev/sdb); blkid -p -o value -s TYPE /dev/sdb?*")
	for _, mark := range []string{"raid", "LVM", "OLD"} {
		if strings.Contains(marks, mark) {
			t.Errorf("a mark of what was on the disk before is left (%s):\n%s", mark, marks)
		}
	}
}
