package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kadeploy/minios/lab"
	"kadeploy/minios/lab/labtest"
	"kadeploy/minios/lab/site"
)

// whole is why a test is skipped that takes minutes more for what others nearly show.
const whole = "run the whole of the lab's tests with `make test-lab`"

// rig is a lab with a coordinator that serves it.
type rig struct {
	*lab.Lab
	t    *testing.T
	bin  string // directory of the programs
	envs string // directory of debian12-min
	dir  string // files of this test
	opts site.Options

	daemon *daemon // the coordinator that runs
}

// daemon is a process of the coordinator.
type daemon struct {
	cmd    *exec.Cmd
	ended  chan error // has how it ended, once
	killed bool
}

// built is a directory that `make` prepares.
func built(t *testing.T, variable, target string, files ...string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		t.Fatalf("%s is not set: run the tests with `make test`, or make %s and set it", variable, target)
	}
	for _, f := range files {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			t.Fatalf("%v: run `make %s`", err, target)
		}
	}
	return dir
}

// start brings up a lab and its coordinator, and takes both down at the end.
func start(t *testing.T, nodes int) *rig {
	t.Helper()
	return startLab(t, lab.Options{Nodes: nodes}, nil)
}

// startLab is start for a lab that is not like the others. adapt changes the
// site's files before the coordinator reads them.
func startLab(t *testing.T, options lab.Options, adapt func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	r.bin = built(t, "KADEPLOY_BIN", "build", "kadeployd", "kadeploy", "lab")
	minios := built(t, "KADEPLOY_MINIOS", "minios", "vmlinuz", "initrd.img")
	r.envs = built(t, "KADEPLOY_ENVIRONMENT", "environment", "debian12-min.dsc", "debian12-min.tar.zst")
	r.Lab = labtest.Up(t, options)
	for _, key := range []string{"deploy", "user"} {
		r.must(exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", r.path(key)))
	}
	r.opts = site.Options{
		Plan: r.Plan(), Directory: r.path("site"), State: r.path("state"), MiniOS: minios,
		LabCommand: filepath.Join(r.bin, "lab"), DeploymentKey: r.path("deploy.pub"),
	}
	if err := site.Write(r.opts); err != nil {
		t.Fatal(err)
	}
	if adapt != nil {
		adapt(r)
	}
	r.startDaemon()
	return r
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) must(cmd *exec.Cmd) string {
	r.t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// startDaemon starts the coordinator inside the lab's network and waits until it answers.
func (r *rig) startDaemon() {
	t := r.t
	t.Helper()
	log, err := os.OpenFile(r.path("kadeployd.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{cmd: exec.Command(filepath.Join(r.bin, "kadeployd"), "--config", r.opts.Directory), ended: make(chan error, 1)}
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := r.Start(d.cmd); err != nil {
		t.Fatal(err)
	}
	r.daemon = d
	go func() { d.ended <- d.cmd.Wait() }()
	t.Cleanup(func() {
		d.stop(t)
		log.Close()
		if text, err := os.ReadFile(log.Name()); t.Failed() && !d.killed && err == nil {
			t.Logf("the coordinator's log:\n%s", lastLines(string(text), 60))
		}
	})
	deadline := time.Now().Add(20 * time.Second)
	for {
		// One that was killed has left its socket: only an answer counts.
		if c, err := net.Dial("unix", r.opts.Socket()); err == nil {
			c.Close()
			return
		}
		select {
		case err := <-d.ended:
			d.ended <- err
			t.Fatalf("the coordinator did not start: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the coordinator does not listen")
		}
	}
}

// stop ends a coordinator in order, unless it was killed.
func (d *daemon) stop(t *testing.T) {
	if d.killed {
		return
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-d.ended:
		if err != nil {
			t.Errorf("the coordinator ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		d.cmd.Process.Kill()
		t.Error("the coordinator did not stop within 20 s")
	}
}

// replaceDaemon kills the coordinator, as a crash would, and starts it again.
func (r *rig) replaceDaemon() {
	r.t.Helper()
	if err := r.daemon.cmd.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	<-r.daemon.ended
	r.daemon.killed = true
	r.startDaemon()
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// command is one of the users' commands, as a user types it on the frontend.
func (r *rig) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(r.bin, "kadeploy"), args...)
	cmd.Args[0] = name
	cmd.Env = append(os.Environ(), "KADEPLOY_SOCKET="+r.opts.Socket(), "KADEPLOY3_CONFIG_DIR="+r.opts.Directory)
	return cmd
}

// outcome is what a command left.
type outcome struct {
	stdout, stderr string
	status         int
	ok, ko         []string // of -o and -n
}

func (o outcome) String() string {
	return fmt.Sprintf("exit status %d\nstdout:\n%sstderr:\n%s", o.status, o.stdout, o.stderr)
}

// run runs a command to its end.
func (r *rig) run(name string, args ...string) outcome {
	r.t.Helper()
	return r.finish(r.command(name, args...))
}

func (r *rig) finish(cmd *exec.Cmd) outcome {
	r.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("%v: %v", cmd, err)
	}
	return outcome{stdout: stdout.String(), stderr: stderr.String(), status: cmd.ProcessState.ExitCode()}
}

// deploy runs kadeploy3 with the user's key, and reads its lists.
func (r *rig) deploy(args ...string) outcome {
	r.t.Helper()
	okFile, koFile := r.path("ok"), r.path("ko")
	out := r.run("kadeploy3", append(args, "-k", r.path("user.pub"), "-o", okFile, "-n", koFile)...)
	out.ok, out.ko = r.lines(okFile), r.lines(koFile)
	r.t.Logf("kadeploy3 %s\n%s", strings.Join(args, " "), out)
	return out
}

func (r *rig) lines(file string) []string {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	list := strings.Fields(string(text))
	slices.Sort(list)
	return list
}

// shell runs a command on a node, with one of the keys.
func (r *rig) shell(ctx context.Context, node, key, command string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(r.bin, "lab"), "--dir", r.Plan().Directory,
		"ssh", "-i", r.path(key), node, command)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s on %s: %w: %s", command, node, err, &stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// login is shell for a node that is up.
func (r *rig) login(node, command string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	out, err := r.shell(ctx, node, "user", command)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// until repeats a question to the world, which has no event for it.
func until(ctx context.Context, ask func() bool) bool {
	for !ask() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(200 * time.Millisecond):
		}
	}
	return true
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s lacks %q:\n%s", what, p, text)
		}
	}
}
