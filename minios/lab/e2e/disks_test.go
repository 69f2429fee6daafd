package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kadeploy/minios/lab"
)

// TestDisks deploys one machine with three large SCSI disks, again and again, each
// time elsewhere on them.
func TestDisks(t *testing.T) {
	r := startLab(t, lab.Options{Nodes: 1, Disks: 3, DiskBytes: 80e9, SCSI: true}, func(r *rig) {
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
		long bool // only with the whole of the lab's tests
	}{
		{"data disks", guideDataDisks, true},
		{"prod", onProd, true},
		{"second disk", onSecondDisk, false},
		{"wrong disk", onWrongDisk, false},
		{"layout", onLayout, false},
		{"whole disk", guideWholeDisk, true},
		{"several partitions", guideSeveralPartitions, true},
	} {
		t.Run(part.name, func(t *testing.T) {
			if part.long && testing.Short() {
				t.Skip(whole)
			}
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

func onProd(t *testing.T, r *rig) {
	r.lands("KDPL_PROD_disk0", "-a", r.environment("prod", "", ""), "-p", "PROD")
}

// onWrongDisk wants what the machine does not have: nothing is written, the disks keep what they have.
func onWrongDisk(t *testing.T, r *rig) {
	out := r.deploy("-a", r.environment("wrong", "", ""), "-b", "disk7", "-m", "node-1.lab", "--force-steps", once)
	same(t, "nodes that are not up", out.ko, "node-1.lab")
	contains(t, "the text", out.stdout, "create_partition_table: ", "partition disk7: the node has 3 disks: /dev/sd", `(80000000000 bytes, serial number "node-1-disk0")`)
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

// custom writes the files of an example of the guide, and returns the
// description of its environment, whose postinstall copies the fstab.
func (r *rig) custom(files map[string]string, fstab string) string {
	r.t.Helper()
	for name, text := range files {
		if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	post := r.archive("g5k-postinstall-custom.tgz", map[string]string{
		"g5k-postinstall": "#!/bin/sh\n[ \"$*\" = '--net debian --fstab custom' ] && cp \"${0%/*}/fstab\" \"$KADEPLOY_ENV_EXTRACTION_DIR/etc/fstab\"\n",
		"fstab":           fstab,
	})
	return r.environment("custom-env", "", "  - archive: "+post+"\n    compression: gzip\n    script: g5k-postinstall --net debian --fstab custom\n")
}

// The guide's first example of a partition scheme, as printed: the whole disk is one partition.
func guideWholeDisk(t *testing.T, r *rig) {
	env := r.custom(map[string]string{
		"custom-partitioning.yml": `---
# Our custom steps should be performed during the SetDeploymentEnv macro-step
SetDeploymentEnv:
  # Custom partitioning step that is substituted to the create_partition_table micro-step
  create_partition_table:
    substitute:
      # We send a file on the node
      - action: send
        file: map.parted
        # The variable $KADEPLOY_TMP_DIR will be substituted by Kadeploy
        destination: $KADEPLOY_TMP_DIR
        name: send_partition_map
      # Then we execute the parted command using the previously sent file
      - action: exec
        name: partitioning
        # The variable $KADEPLOY_TMP_DIR will be substituted by Kadeploy
        command: parted -a optimal /dev/sda --script $(cat $KADEPLOY_TMP_DIR/map.parted)
  # Hack to disable useless steps
  format_tmp_part:
    substitute:
      - action: exec
        name: remove_format_tmp_part_step
        command: /bin/true
  format_swap_part:
    substitute:
      - action: exec
        name: remove_format_swap_part_step
        command: /bin/true
`,
		"map.parted": `mklabel gpt
mkpart KDPL_SYSTEM_disk0 ext4 0% 100%
toggle 1 boot
align-check optimal 1
`,
	}, "PARTLABEL=KDPL_SYSTEM_disk0 / ext4 defaults 1 2\n")
	r.inDirectory(func() {
		r.lands("KDPL_SYSTEM_disk0", "-a", env, "-p", "SYSTEM", "--custom-steps", "custom-partitioning.yml")
	})
	if got := r.login("node-1", "lsblk -no NAME /dev/sda | wc -l"); got != "2" {
		t.Errorf("the disk and its partitions are %s devices", got)
	}
}

// The second one: /var, /opt and /tmp have partitions of their own.
func guideSeveralPartitions(t *testing.T, r *rig) {
	env := r.custom(severalPartitions("sda"), `PARTLABEL=KDPL_SWAP_disk0 none swap sw 0 0
PARTLABEL=KDPL_VAR_disk0 /var ext4 defaults 1 2
PARTLABEL=KDPL_OPT_disk0 /opt ext4 defaults 1 2
PARTLABEL=KDPL_TMP_disk0 /tmp ext4 defaults 1 2
`)
	r.inDirectory(func() {
		r.lands("KDPL_SYSTEM_disk0", "-a", env, "-p", "SYSTEM", "--custom-steps", "custom-partitioning.yml")
	})
	for _, dir := range []string{"var", "opt", "tmp"} {
		if got, want := r.login("node-1", "findmnt -no PARTLABEL /"+dir), "KDPL_"+strings.ToUpper(dir)+"_disk0"; got != want {
			t.Errorf("/%s is on %s, want %s", dir, got, want)
		}
	}
	if got := r.login("node-1", "swapon --show=NAME --noheadings | wc -l; stat -c %a /tmp"); got != "1\n1777" {
		t.Errorf("swap areas, and the mode of /tmp: %s", got)
	}
	// "/ will be added by Kadeploy".
	contains(t, "fstab", r.login("node-1", "cat /etc/fstab"), " / ext4 defaults 0 1")
}

// inDirectory does what the guide does in a directory of the user's.
func (r *rig) inDirectory(do func()) {
	r.t.Helper()
	r.t.Chdir(r.dir)
	do()
}
