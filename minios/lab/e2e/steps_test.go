package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kadeploy/minios/lab"
)

// TestSteps is one story of one machine: what the users' guide does with the steps of
// a deployment, the start without firmware, and the rescue of a machine that hangs.
// The guide's examples are as printed there, but for the names of disks and for what
// a machine needs to come up at all.
func TestSteps(t *testing.T) {
	// The guide's partitions want a disk of 100 GB; it is sparse.
	r := startLab(t, lab.Options{Nodes: 1, DiskBytes: 110 << 30}, nil)
	if out := r.run("kaenv3", "-a", r.envs+"/debian12-min.dsc"); out.status != 0 {
		t.Fatalf("kaenv3 -a: %s", out)
	}
	for _, part := range []struct {
		name string
		run  func(*testing.T, *rig)
	}{
		{"partitions of the user's own, and a breakpoint", breakpoint},
		{"no reboot out of the mini-OS", skipReboot},
		{"trusted, and a kexec that hangs", trustedThenHang},
		{"a kernel of the user's own", customKernel},
	} {
		if !t.Run(part.name, func(t *testing.T) {
			inner := *r
			inner.t = t
			part.run(t, &inner)
		}) {
			return // what follows builds on it
		}
	}
}

// files writes files of a user into a directory of their own, and returns it.
func (r *rig) files(content map[string]string) string {
	r.t.Helper()
	dir := r.t.TempDir()
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	return dir
}

// in runs a command in a directory, where its files are.
func (r *rig) in(dir, name string, args ...string) outcome {
	r.t.Helper()
	cmd := r.command(name, args...)
	cmd.Dir = dir
	begin := time.Now()
	out := r.finish(cmd)
	r.t.Logf("%s %s: %.0f s\n%s", name, strings.Join(args, " "), time.Since(begin).Seconds(), out)
	return out
}

func breakpoint(t *testing.T, r *rig) {
	dir := r.files(severalPartitions("vda"))
	out := r.in(dir, "kadeploy3", "debian12-min", "-m", "node-1.lab", "-k", r.path("user.pub"), "-p", "SYSTEM", "--custom-steps", "custom-partitioning.yml",
		"--verbose-level", "4", "-d", "--breakpoint", "BroadcastEnvKascade :manage_user_post_install")
	if out.status != 0 {
		t.Fatalf("kadeploy3: %s", out)
	}
	contains(t, "the text", out.stdout, "The deployment is successful on nodes\nnode-1.lab\n", "create_partition_table-partitioning")
	contains(t, "the state", r.run("kanodes3", "-s", "-m", "node-1.lab").stdout, "deployed")
	for _, key := range []string{"user", "deploy"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		got, err := r.shell(ctx, "node-1", key, "test -e /rambin && cat /mnt/dest/etc/debian_version && findmnt -no PARTLABEL /mnt/dest && findmnt -no PARTLABEL /mnt/dest/var")
		cancel()
		if err != nil || !strings.HasPrefix(got, "12.") || !strings.HasSuffix(got, "\nKDPL_SYSTEM_disk0\nKDPL_VAR_disk0") {
			t.Errorf("with the key %s: %q, %v", key, got, err)
		}
	}
}

func skipReboot(t *testing.T, r *rig) {
	before := r.login("node-1", "cat /proc/sys/kernel/random/boot_id")
	dir := r.files(map[string]string{
		"custom-kexec-reboot.yml": `---
SetDeploymentEnv:
  reboot:
    substitute:
      - action: exec
        name: nothing
        command: 'true'
  kexec:
    substitute:
      - action: exec
        name: nothing
        command: 'true'
  send_key_in_deploy_env:
    post-ops:
      - action: exec
        command: cat /proc/sys/kernel/random/boot_id >/run/boots
BroadcastEnv:
  sync:
    pre-ops:
      - action: exec
        command: cp /run/boots $KADEPLOY_ENV_EXTRACTION_DIR/boots; env | grep ^KADEPLOY_ >$KADEPLOY_ENV_EXTRACTION_DIR/variables
`})
	out := r.in(dir, "kadeploy3", "debian12-min", "-m", "node-1.lab", "-k", r.path("user.pub"), "--custom-steps", "custom-kexec-reboot.yml",
		"--custom-variable", "MINE=a b")
	if out.status != 0 || !strings.Contains(out.stdout, "successful on nodes\nnode-1.lab\n") {
		t.Fatalf("kadeploy3: %s", out)
	}
	checkSystem(t, r, "node-1")
	if got := r.login("node-1", "cat /boots"); got != before {
		t.Errorf("the deployment was made by boot %s of the mini-OS, and %s was running", got, before)
	}
	contains(t, "the variables", r.login("node-1", "cat /variables"),
		"KADEPLOY_ENV=debian12-min", "KADEPLOY_DEPLOY_PART=/dev/vda3", "KADEPLOY_MINE=a b", "KADEPLOY_TMP_DIR=/tmp")
}

// trustedThenHang starts the mini-OS out of the running system, without the firmware, and
// then sends the machine into a kernel that goes no further than a panic. The system on
// the disk is left as it is, to save time: HardReboot finds it.
func trustedThenHang(t *testing.T, r *rig) {
	dir := r.files(map[string]string{
		"hang.yml": `---
SetDeploymentMiniOS:
  format_deploy_part:
    substitute:
      - action: exec
        name: keep
        command: test -e /rambin
  mount_deploy_part:
    post-ops:
      - action: exec
        name: mark
        command: cp /proc/sys/kernel/random/boot_id $KADEPLOY_ENV_EXTRACTION_DIR/trusted
BootNewEnvKexec:
  kexec:
    substitute:
      - action: exec
        name: hang
        command: kexec -l $KADEPLOY_ENV_EXTRACTION_DIR/vmlinuz --append='panic=0 console=ttyS0 root=/dev/none' && nohup /bin/sh -c 'sleep 1; kexec -e' 1>/dev/null 2>/dev/null </dev/null &
`})
	firmware := func() int { return strings.Count(r.daemonLog(), "node boots") }
	booted := firmware()
	out := r.in(dir, "kadeploy3", "debian12-min", "-m", "node-1.lab", "-k", r.path("user.pub"), "--custom-steps", "hang.yml", "--disable-disk-partitioning",
		"--force-steps", "SetDeploymentMiniOS|SetDeploymentMiniOSTrusted:0:200&BroadcastEnv|BroadcastEnvDummy:0:30&BootNewEnv|BootNewEnvKexec:0:25,BootNewEnvHardReboot:0:300")
	if out.status != 0 || !strings.Contains(out.stdout, "successful on nodes\nnode-1.lab\n") {
		t.Fatalf("kadeploy3: %s", out)
	}
	if r.login("node-1", "test -s /trusted && echo yes") != "yes" {
		t.Error("the mini-OS has left no mark on the disk")
	}
	contains(t, "the text", out.stdout, "SetDeploymentEnvTrusted", "Timeout in the BootNewEnvKexec step", "BootNewEnvHardReboot")
	if got := firmware() - booted; got != 1 {
		t.Errorf("the machine asked %d times what to boot, want once: of HardReboot", got)
	}
	checkSystem(t, r, "node-1")
	contains(t, "the command line", r.login("node-1", "cat /proc/cmdline"), "BOOT_IMAGE=") // its own grub
}

func (r *rig) daemonLog() string {
	text, err := os.ReadFile(r.path("kadeployd.log"))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// customKernel boots a kernel that comes with the order, over ssh, as the system runs.
func customKernel(t *testing.T, r *rig) {
	dir := r.files(map[string]string{
		"custom-kexec-reboot.yml": `---
Simple:
  reboot:
    pre-ops:
      - action: send
        file: custom_kernel.vmlinuz
        destination: $KADEPLOY_TMP_DIR
        name: send_custom_kernel
      - action: send
        file: custom_kernel.initrd.img
        destination: $KADEPLOY_TMP_DIR
        name: send_custom_initrd
    substitute:
      - action: exec
        name: kexec
        # nohup to be sure the script exit correctly before the kexec start
        command: kexec -l $KADEPLOY_TMP_DIR/custom_kernel.vmlinuz --initrd=$KADEPLOY_TMP_DIR/custom_kernel.initrd.img --reuse-cmdline --append=of.my.own && nohup /bin/sh -c 'sleep 1; systemctl kexec' 1>/dev/null 2>/dev/null </dev/null &
`})
	tree := t.TempDir()
	r.must(exec.Command("tar", "--zstd", "-C", tree, "-xf", r.envs+"/debian12-min.tar.zst", "./boot"))
	for pattern, name := range map[string]string{"vmlinuz-*": "custom_kernel.vmlinuz", "initrd.img-*": "custom_kernel.initrd.img"} {
		found, err := filepath.Glob(filepath.Join(tree, "boot", pattern))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s in the image: %v, %v", pattern, found, err)
		}
		if err := os.Rename(found[0], filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	before := r.login("node-1", "cat /proc/sys/kernel/random/boot_id")
	out := r.in(dir, "kareboot3", "-r", "simple", "-m", "node-1.lab", "--custom-steps", "custom-kexec-reboot.yml")
	if out.status != 0 || !strings.Contains(out.stdout, "successful on nodes\nnode-1.lab\n") {
		t.Fatalf("kareboot3: %s", out)
	}
	// The lab probes so soon that the old system may still be there.
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	if !until(ctx, func() bool {
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		after, err := r.shell(short, "node-1", "user", "cat /proc/sys/kernel/random/boot_id")
		return err == nil && after != before
	}) {
		t.Fatal("the machine was not rebooted")
	}
	contains(t, "the command line", r.login("node-1", "cat /proc/cmdline"), "of.my.own")
}
