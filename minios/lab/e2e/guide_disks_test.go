package e2e

import (
	"os"
	"testing"
)

// dataDisks is the users' guide's example of two more disks that are partitioned and
// formatted beside the deployment, file by file as it is printed there.
var dataDisks = map[string]string{
	"custom-partitioning.yml": `---
# Our custom steps should be performed during the SetDeploymentEnv macro-step
SetDeploymentEnvUntrusted:
  # Custom partitioning step, done after the create_partition_table micro-step
  # In the sample this step is exploded in 4 steps but it can be done in 1 using a single parted command
  create_partition_table:
    post-ops:
      # We send a file on the node
      - action: send
        file: sdb.parted
        # The variable $KADEPLOY_TMP_DIR will be substitued by kadeploy
        destination: $KADEPLOY_TMP_DIR
        name: send_partition_map_sdb
      # Then we execute the parted command using the previously sent file
      - action: exec
        name: partitioning_sdb
        # The variable $KADEPLOY_TMP_DIR will be substitued by kadeploy
        command: parted -a optimal /dev/sdb --script $(cat $KADEPLOY_TMP_DIR/sdb.parted)
      # Same operation for the second disk
      - action: send
        file: sdc.parted
        destination: $KADEPLOY_TMP_DIR
        name: send_partition_map_sdc
      - action: exec
        name: partitioning_sdc
        command: parted -a optimal /dev/sdc --script $(cat $KADEPLOY_TMP_DIR/sdc.parted)
  # Custom format step, done after the format_deploy_part micro-step
  format_deploy_part:
    post-ops:
      # We run the script contained in the file 'format.sh'
      - action: run
        name: format_disks
        file: format.sh
`,
	"sdb.parted": `mklabel msdos
u GB mkpart primary ext4 0% 100%
align-check optimal 1
`,
	"sdc.parted": `mklabel msdos
u GB mkpart primary ext2 0% 100%
align-check optimal 1
`,
	"format.sh": `#!/bin/sh
set -e
# formating /dev/sdb
mkfs -t ext4 -b 4096 -O sparse_super,filetype,resize_inode,dir_index -q /dev/sdb1
# formating /dev/sdc
mkfs -t ext2 -b 4096 -O sparse_super,filetype,resize_inode,dir_index -q /dev/sdc1
`,
}

// guideDataDisks: the classical scheme on sda; data1 on sdb1 and data2 on sdc1 are not
// mounted at boot, the user mounts them.
func guideDataDisks(t *testing.T, r *rig) {
	for name, text := range dataDisks {
		if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.inDirectory(func() {
		r.lands("KDPL_DEPLOY_disk0", "-a", r.environment("data", "", ""), "--custom-steps", "custom-partitioning.yml")
	})
	for disk, want := range map[string]string{"data1 /dev/sdb1": "dos 1 ext4", "data2 /dev/sdc1": "dos 1 ext2"} {
		got := r.login("node-1", `set -- `+disk+`; mkdir -p /media/$1 && mount $2 /media/$1 && echo kept >/media/$1/file && sync &&
			parent=$(lsblk -no PKNAME $2) && echo $(lsblk -dno PTTYPE $2) $(lsblk -lno TYPE /dev/$parent | grep -c part) $(findmnt -no FSTYPE /media/$1)`)
		if got != want {
			t.Errorf("%s: table, partitions and mounted file system: %q, want %q", disk, got, want)
		}
	}
}
