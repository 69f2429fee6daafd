package e2e

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"kadeploy/minios/lab"
)

// once runs every macro-step a single time: a failure is one at once.
const once = "SetDeploymentEnv|SetDeploymentEnvUntrusted:0:300&BroadcastEnv|BroadcastEnvKascade:0:300&BootNewEnv|BootNewEnvKexec:0:300"

// TestDeployments is one story, as its machines are slow to boot: two nodes are
// deployed, one of them loses its power in the middle; the other reboots from
// its disk; then everything is done wrong that users do wrong.
func TestDeployments(t *testing.T) {
	r := start(t, 2)
	if out := r.run("kaenv3", "-a", r.envs+"/debian12-min.dsc"); out.status != 0 {
		t.Fatalf("kaenv3 -a: %s", out)
	}
	for _, part := range []struct {
		name string
		run  func(*testing.T, *rig)
	}{
		{"a node dies during the broadcast", nodeDies},
		{"reboot from the disk", rebootFromDisk},
		{"bad orders", badOrders},
		{"damaged images", damagedImages},
		{"postinstall fails", postinstallFails},
		{"a node never boots", neverBoots},
		{"interrupt", interrupt},
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

func nodeDies(t *testing.T, r *rig) {
	okFile, koFile := r.path("ok"), r.path("ko")
	cmd := r.command("kadeploy3", "-e", "debian12-min", "-m", "node-[1-2].lab", "-k", r.path("user.pub"), "-o", okFile, "-n", koFile)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	cut := false
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		fmt.Fprintln(&text, lines.Text())
		if strings.Contains(lines.Text(), "send_environment") && !cut {
			cut = true
			busy := r.run("kadeploy3", "-e", "debian12-min", "-m", "node-2.lab", "-k", "none")
			contains(t, "the answer to a second deployment of a busy node", busy.String(), "already involved", "node-2.lab")
			// The first of the chain: the other one has to be joined to the head.
			if err := r.Power(t.Context(), "node-1", lab.PowerOff); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil || !cut {
		t.Fatalf("kadeploy3: %v, power cut: %v\n%s%s", err, cut, &text, &stderr)
	}
	t.Logf("kadeploy3\n%s", &text)
	same(t, "nodes that are up", r.lines(okFile), "node-2.lab")
	same(t, "nodes that are not", r.lines(koFile), "node-1.lab")
	contains(t, "the text", text.String(),
		"The deployment is successful on nodes\nnode-2.lab\n", "The deployment failed on nodes\nnode-1.lab (BroadcastEnvKascade-send_environment: ")
	if stderr.Len() > 0 {
		t.Errorf("stderr: %s", &stderr)
	}
	checkSystem(t, r, "node-2")
}

// checkSystem checks what the deployment has made of a node.
func checkSystem(t *testing.T, r *rig, node string) {
	t.Helper()
	for command, want := range map[string]string{
		"hostname":                node + ".lab",
		"findmnt -no PARTLABEL /": "KDPL_DEPLOY_disk0",
		"swapon --show=NAME --noheadings | wc -l": "1",
		"lsblk -no PARTLABEL /dev/vda3":           "KDPL_DEPLOY_disk0",
		"test -e /rambin || echo not the mini-OS": "not the mini-OS",
		"stat -c %a /root/.ssh/authorized_keys":   "600",
	} {
		if got := r.login(node, command); got != want {
			t.Errorf("%s on %s: %q, want %q", command, node, got, want)
		}
	}
}

func rebootFromDisk(t *testing.T, r *rig) {
	const boot = "cat /proc/sys/kernel/random/boot_id"
	before := r.login("node-2", boot)
	out := r.run("kareboot3", "-r", "simple", "-l", "hard", "-m", "node-2.lab")
	if out.status != 0 {
		t.Fatalf("kareboot3: %s", out)
	}
	contains(t, "the text", out.stdout, "The reboot operation is successful on nodes\nnode-2.lab\n")
	if after := r.login("node-2", boot); after == before {
		t.Error("node-2 was not rebooted")
	}
	checkSystem(t, r, "node-2")
	if line := r.login("node-2", "cat /proc/cmdline"); !strings.Contains(line, "BOOT_IMAGE=") {
		t.Errorf("node-2 was not booted by its own grub: %s", line)
	}
	status := r.run("kapower3", "--status", "-m", "node-[1-2].lab")
	contains(t, "the power status", status.stdout, "node-1.lab: off", "node-2.lab: on")
}

func badOrders(t *testing.T, r *rig) {
	bad := r.path("bad.dsc")
	if err := os.WriteFile(bad, []byte("name: x\nimage: [\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		command []string
		want    []string
	}{
		{"unknown node", []string{"kadeploy3", "-e", "debian12-min", "-m", "node-9.lab", "-k", "none"}, []string{"node-9.lab"}},
		{"unknown environment", []string{"kadeploy3", "-e", "none-such", "-m", "node-2.lab", "-k", "none"}, []string{"none-such"}},
		{"description that is no YAML", []string{"kadeploy3", "-a", bad, "-m", "node-2.lab", "-k", "none"}, []string{"bad.dsc"}},
		{"description that is not there", []string{"kadeploy3", "-a", r.path("none.dsc"), "-m", "node-2.lab", "-k", "none"}, []string{"none.dsc"}},
		{"key that is not there", []string{"kadeploy3", "-e", "debian12-min", "-m", "node-2.lab", "-k", r.path("none.pub")}, []string{"none.pub"}},
		{"no environment", []string{"kadeploy3", "-m", "node-2.lab"}, []string{"environment"}},
	} {
		out := r.run(c.command[0], c.command[1:]...)
		if out.status == 0 {
			t.Errorf("%s: exit status 0", c.name)
		}
		contains(t, c.name, out.stderr, c.want...)
		if strings.Contains(out.String(), "goroutine ") {
			t.Errorf("%s ends in a stack trace: %s", c.name, out)
		}
	}
	checkSystem(t, r, "node-2") // nothing was done to it
}

// describe writes a description of an anonymous environment.
func (r *rig) describe(name, image, more string) string {
	r.t.Helper()
	text := fmt.Sprintf("name: %s\nversion: 1\nos: linux\nimage:\n  file: server://%s\n  kind: tar\n  compression: gzip\n"+
		"boot:\n  kernel: /vmlinuz\n  initrd: /initrd.img\nfilesystem: ext4\npartition_type: 131\n%s", name, image, more)
	file := r.path(name + ".dsc")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	return file
}

// archive writes a tar.gz of some files, all executable.
func (r *rig) archive(name string, files map[string]string) string {
	r.t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	for path, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content))}); err != nil {
			r.t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		r.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		r.t.Fatal(err)
	}
	file := r.path(name)
	if err := os.WriteFile(file, packed.Bytes(), 0o644); err != nil {
		r.t.Fatal(err)
	}
	return file
}

// damagedImages deploys images that cannot be good: cut in half, with one
// flipped byte, without a kernel. Each fails with step and cause.
func damagedImages(t *testing.T, r *rig) {
	image := r.archive("damaged.tar.gz", map[string]string{"vmlinuz": strings.Repeat("kernel", 100_000)})
	whole, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-6] ^= 1 // in the checksum of the content
	empty, err := os.ReadFile(r.archive("empty.tar.gz", map[string]string{"readme": "no kernel here"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		image []byte
		step  string
		cause string
	}{
		{"cut", whole[:len(whole)/2], "send_environment", "unexpected EOF"},
		{"flipped", flipped, "send_environment", "checksum"},
		{"nokernel", empty, "check_kernel_files", "the kernel /vmlinuz of the description is not in the image"},
	} {
		if err := os.WriteFile(image, c.image, 0o644); err != nil {
			t.Fatal(err)
		}
		out := r.deploy("-a", r.describe(c.name, image, ""), "-m", "node-1.lab", "--force-steps", once)
		same(t, "nodes that are not up", out.ko, "node-1.lab")
		contains(t, c.name, out.stdout, "node-1.lab (BroadcastEnvKascade-"+c.step+": ", c.cause)
	}
}

// neverBoots deploys a node whose cable is unplugged.
func neverBoots(t *testing.T, r *rig) {
	if err := r.SetLink(t.Context(), "node-1", false); err != nil {
		t.Fatal(err)
	}
	out := r.deploy("-e", "debian12-min", "-m", "node-1.lab", "--force-steps", once, "--reboot-classical-timeout", "15")
	same(t, "nodes that are not up", out.ko, "node-1.lab")
	contains(t, "the text", out.stdout, "node-1.lab (SetDeploymentEnvUntrusted-wait_reboot: ", "ssh")
	if err := r.SetLink(t.Context(), "node-1", true); err != nil {
		t.Fatal(err)
	}
}

func postinstallFails(t *testing.T, r *rig) {
	image := r.archive("small.tar.gz", map[string]string{"vmlinuz": "k", "initrd.img": "i"})
	post := r.archive("post.tar.gz", map[string]string{"fail": "#!/bin/sh\necho \"arguments: $1\" >&2\nexit 3\n"})
	description := r.describe("small", image, "postinstalls:\n  - archive: server://"+post+"\n    compression: gzip\n    script: fail 'a, b'\n")
	out := r.deploy("-a", description, "-m", "node-1.lab", "--force-steps", once)
	same(t, "nodes that are not up", out.ko, "node-1.lab")
	contains(t, "the text", out.stdout, "node-1.lab (BroadcastEnvKascade-manage_user_post_install: ", "exit status 3", "arguments: a, b")
}

// interrupt types ^C during a deployment.
func interrupt(t *testing.T, r *rig) {
	cmd := r.command("kadeploy3", "-e", "debian12-min", "-m", "node-1.lab", "-k", "none")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		fmt.Fprintln(&text, lines.Text())
		if strings.Contains(lines.Text(), "wait_reboot") {
			cmd.Process.Signal(syscall.SIGINT)
		}
	}
	cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	contains(t, "stderr", stderr.String(), "SIGINT trapped")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if !until(ctx, func() bool {
		return strings.Contains(r.run("kanodes3", "-s", "-m", "node-1.lab").stdout, "aborted")
	}) {
		t.Errorf("node-1 is not aborted: %s", r.run("kanodes3", "-s", "-m", "node-1.lab"))
	}
}
