package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kadeploy/minios/lab"
)

// note is a script that writes down that it ran, with its arguments and some variables.
const note = `#!/bin/sh
set -e
for a in "$@"; do args="$args<$a>"; done
echo "$0 $args $KADEPLOY_ENV $KADEPLOY_DEPLOY_PART_NUM $KADEPLOY_LEVEL" >>/tmp/notes
if mountpoint -q "$KADEPLOY_ENV_EXTRACTION_DIR"; then cp /tmp/notes "$KADEPLOY_ENV_EXTRACTION_DIR/root/notes"; fi
`

// inside is a postinstall that runs a program of the deployed system.
const inside = note + `kadeploy-agent chroot "$KADEPLOY_ENV_EXTRACTION_DIR" dpkg --print-architecture >"$KADEPLOY_ENV_EXTRACTION_DIR/root/architecture"
if grep "$KADEPLOY_ENV_EXTRACTION_DIR/" /proc/mounts; then echo "something is left mounted" >&2; exit 1; fi
echo "hidden from nobody"; sleep 4; echo "at last"
`

// prepare is a preinstall that makes a disk of its own taste.
const prepare = note + `printf 'label: gpt\nsize=256MiB,type=swap,name=KDPL_SWAP_disk0\nsize=1MiB,type=21686148-6449-6E6F-744E-656564454649\nname=KDPL_DEPLOY_disk0\n' | sfdisk -q "$KADEPLOY_BLOCK_DEVICE"
udevadm settle
mkfs.ext4 -q "$KADEPLOY_DEPLOY_PART"
mount "$KADEPLOY_DEPLOY_PART" "$KADEPLOY_ENV_EXTRACTION_DIR"
mkswap -q "$KADEPLOY_BLOCK_DEVICE$KADEPLOY_SWAP_PART_NUM"
`

// TestScripts deploys one machine twice: with the site's and the user's scripts and
// the grub of the mini-OS, which then boots it; and with a preinstall that makes
// the disk itself.
func TestScripts(t *testing.T) {
	r := startLab(t, lab.Options{Nodes: 1}, func(r *rig) {
		r.archive("site-pre.tgz", map[string]string{"pre": note})
		r.archive("site-post.tgz", map[string]string{"post": note})
		file := filepath.Join(r.opts.Directory, "lab-cluster.conf")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		more := fmt.Sprintf("preinstall: {files: [{file: %s, format: tgz, script: pre -v}]}\n"+
			"postinstall: {files: [{file: %s, format: tgz, script: post one}, {file: %s, format: tgz, script: none}]}\n"+
			"custom_variables: {LEVEL: site}\n", r.path("site-pre.tgz"), r.path("site-post.tgz"), r.path("site-post.tgz"))
		if err := os.WriteFile(file, append(text, more...), 0o644); err != nil {
			t.Fatal(err)
		}
	})
	second := r.archive("second.tgz", map[string]string{"second": inside})
	own := r.environment("scripted", "", fmt.Sprintf("  - archive: %s\n    compression: gzip\n    script: second --net debian,hpc 'two words' \"it's\"\n", second))

	out := r.deploy("-a", own, "-m", "node-1.lab", "--force-steps", once, "-d",
		"--custom-variable", "LEVEL=user", "--custom-variable", "BOOTLOADER_NO_GRUB_FROM_DEST=1")
	same(t, "nodes that are up", out.ok, "node-1.lab")
	if t.Failed() {
		return
	}
	contains(t, "the text", out.stdout, "  manage_admin_pre_install\n", "  manage_admin_post_install\n", "  manage_user_post_install\n",
		"Warning: the custom variable LEVEL of the command line overrides that of the cluster lab",
		"STDOUT: hidden from nobody", "STATUS: running", "STDOUT: at last", "installing the grub of the mini-OS")
	want := "/rambin/pre <-v> scripted 3 user\n/rambin/post <one> scripted 3 user\n/rambin/second <--net><debian,hpc><two words><it's> scripted 3 user"
	if got := r.login("node-1", "cat /root/notes"); got != want {
		t.Errorf("scripts ran so:\n%s\nwant:\n%s", got, want)
	}
	if got := r.login("node-1", "cat /root/architecture"); got != "amd64" {
		t.Errorf("inside of the system: %q", got)
	}
	contains(t, "grub.cfg", r.login("node-1", "cat /boot/grub/grub.cfg"), "menuentry 'Deployed system'", "root=UUID=")
	if reboot := r.run("kareboot3", "-r", "simple", "-l", "hard", "-m", "node-1.lab"); reboot.status != 0 {
		t.Fatalf("kareboot3: %s", reboot)
	}
	checkSystem(t, r, "node-1")
	contains(t, "the kernel's arguments", r.login("node-1", "cat /proc/cmdline"), "BOOT_IMAGE=/boot/vmlinuz-", "root=UUID=")

	pre := r.archive("prepare.tgz", map[string]string{"prepare": prepare})
	own = r.environment("prepared", fmt.Sprintf("preinstall:\n  archive: %s\n  compression: gzip\n  script: prepare\n", pre), "")
	begin := time.Now()
	out = r.deploy("-a", own, "-m", "node-1.lab",
		"--force-steps", once,
		"--custom-variable", "BOOTLOADER_NO_UUID=1", "--custom-variable", "BOOTLOADER_SHOW_MENU=1")
	same(t, "nodes that are up", out.ok, "node-1.lab")
	if t.Failed() {
		return
	}
	t.Logf("deployed after %.0f s", time.Since(begin).Seconds())
	contains(t, "the text", out.stdout, "Performing a Deploy[SetDeploymentEnvUntrustedCustomPreInstall] step")
	if strings.Contains(out.stdout, "create_partition_table") {
		t.Error("the disk was partitioned by the site as well")
	}
	for command, want := range map[string]string{
		"lsblk -nrbo SIZE /dev/vda1 && ls /dev/vda4 2>/dev/null | wc -l": "268435456\n0",
		"findmnt -no PARTLABEL /":                  "KDPL_DEPLOY_disk0",
		"head -1 /root/notes || cat /proc/cmdline": "/rambin/prepare  prepared 3 site",
		"grep -c root=/dev/disk/by-partlabel/KDPL_DEPLOY_disk0 /boot/grub/grub.cfg | head -c 1 | tr 1-9 y": "y",
		"grep -m 1 -o timeout_style=menu /boot/grub/grub.cfg":                                              "timeout_style=menu",
	} {
		if got := r.login("node-1", command); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
}

// environment writes a description of debian12-min under another name.
func (r *rig) environment(name, more, postinstalls string) string {
	r.t.Helper()
	text := fmt.Sprintf("name: %s\nversion: 1\nos: linux\nimage:\n  file: server://%s/debian12-min.tar.zst\n  kind: tar\n  compression: zstd\n%s"+
		"postinstalls:\n  - archive: server://%s/debian12-min-postinstall.tar.gz\n    compression: gzip\n    script: debian12-min-postinstall --fstab partlabel --console ttyS0\n%s"+
		"boot:\n  kernel: /vmlinuz\n  initrd: /initrd.img\n  kernel_params: 'console=ttyS0,115200'\nfilesystem: ext4\npartition_type: 131\n",
		name, r.envs, more, r.envs, postinstalls)
	file := r.path(name + ".dsc")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	return file
}
