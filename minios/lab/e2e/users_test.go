package e2e

import (
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// account is a user of the frontend who is not root, with files of his own.
type account struct {
	*rig
	name string
	cred *syscall.Credential
	home string
}

// account takes one of Debian's own accounts: its name is known to the coordinator's host.
func (r *rig) account(name string) account {
	r.t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		r.t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	a := account{rig: r, name: name, cred: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, home: r.path(name)}
	if err := os.Mkdir(a.home, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Chown(a.home, uid, gid); err != nil {
		r.t.Fatal(err)
	}
	return a
}

// keep copies a file into the account's home, where only it may read it.
func (a account) keep(file string) string {
	a.t.Helper()
	from, err := os.Open(file)
	if err != nil {
		a.t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(a.home, filepath.Base(file))
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		a.t.Fatal(err)
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		a.t.Fatal(err)
	}
	if err := to.Chown(int(a.cred.Uid), int(a.cred.Gid)); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// as is a command of the account's.
func (a account) as(name string, args ...string) *exec.Cmd {
	cmd := a.command(name, args...)
	cmd.Path = a.path("kadeploy") // the build may lie where only root goes
	cmd.Dir = a.home
	cmd.Env = append(cmd.Env, "HOME="+a.home, "USER="+a.name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.cred}
	return cmd
}

func (a account) run(name string, args ...string) outcome {
	a.t.Helper()
	out := a.finish(a.as(name, args...))
	a.t.Logf("%s: %s %s\n%s", a.name, name, strings.Join(args, " "), out)
	return out
}

func (a account) succeeds(name string, args ...string) outcome {
	a.t.Helper()
	out := a.run(name, args...)
	if out.status != 0 || out.stderr != "" {
		a.t.Fatalf("%s of %s: %s", name, a.name, out)
	}
	return out
}

// deploys deploys an environment on a node and checks that it is up.
func (a account) deploys(node string, args ...string) {
	a.t.Helper()
	out := a.run("kadeploy3", append(args, "-m", node, "-k", a.keep(a.rig.path("user.pub")))...)
	want := "The deployment is successful on nodes\n" + node + "\n"
	if out.status != 0 || !strings.Contains(out.stdout, want) {
		a.t.Errorf("deployment of %s by %s: %s", node, a.name, out)
	}
}

// TestUsers: a user who is not root registers an environment whose files only he can
// read, deploys it where he has the right to, and nowhere else; he shares it with a
// second user; and the two deploy different nodes at the same time.
func TestUsers(t *testing.T) {
	r := start(t, 2)
	if err := os.Chmod(filepath.Dir(r.dir), 0o755); err != nil { // of t.TempDir, which lets only its owner in
		t.Fatal(err)
	}
	r.must(exec.Command("install", "-m", "755", filepath.Join(r.bin, "kadeploy"), r.path("kadeploy")))
	first, second := r.account("games"), r.account("news")
	for node, a := range map[string]account{"node-1.lab": first, "node-2.lab": second} {
		if out := r.run("karights3", "-a", "-u", a.name, "-m", node, "-p", "*"); out.status != 0 {
			t.Fatalf("karights3: %s", out)
		}
	}
	image := first.keep(filepath.Join(r.envs, "debian12-min.tar.zst"))
	post := first.keep(filepath.Join(r.envs, "debian12-min-postinstall.tar.gz"))
	description := r.path("mine.dsc")
	text := "name: mine\nversion: 7\nos: linux\nvisibility: private\n" +
		"image:\n  file: " + image + "\n  kind: tar\n  compression: zstd\n" +
		"postinstalls:\n  - archive: local://" + post + "\n    compression: gzip\n    script: debian12-min-postinstall --fstab partlabel --console ttyS0\n" +
		"boot:\n  kernel: /vmlinuz\n  initrd: /initrd.img\n  kernel_params: 'console=ttyS0,115200'\nfilesystem: ext4\npartition_type: 131\n"
	if err := os.WriteFile(description, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	first.succeeds("kaenv3", "-a", description)
	contains(t, "the owner's list", first.succeeds("kaenv3", "-l").stdout, "mine")
	if out := second.run("kaenv3", "-l", "-u", first.name); strings.Contains(out.stdout, "mine") {
		t.Errorf("another user sees a private environment: %s", out)
	}

	refused := first.run("kadeploy3", "-e", "mine", "-m", "node-2.lab", "-k", "none")
	if refused.status != 6 || !strings.Contains(refused.stderr, "node-2.lab") {
		t.Errorf("deployment without the right to: %s", refused)
	}
	first.deploys("node-1.lab", "-e", "mine")
	checkSystem(t, r, "node-1")

	first.succeeds("kaenv3", "-t", "shared", "--set-visibility-tag", "mine", "--env-version", "7")
	unreadable := second.run("kadeploy3", "-u", first.name, "-e", "mine", "-m", "node-2.lab", "-k", "none")
	if strings.Contains(unreadable.stdout, "is successful on nodes") {
		t.Errorf("a user deployed a file that he cannot read: %s", unreadable)
	}
	for _, file := range []string{image, post} {
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var both sync.WaitGroup
	both.Go(func() { first.deploys("node-1.lab", "-e", "mine") })
	both.Go(func() { second.deploys("node-2.lab", "-u", first.name, "-e", "mine") })
	both.Wait()
	checkSystem(t, r, "node-1")
	checkSystem(t, r, "node-2")
}
