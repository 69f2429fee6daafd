package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openPTY makes a pseudo-terminal (pty(7)).
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// onTerminal runs a command of ours on a pseudo-terminal, and gives all that it
// shows and its exit status. Each of keys is typed when the text before it was shown.
func onTerminal(t *testing.T, env []string, keys [][2]string, name string, args ...string) (string, int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	master, slave := openPTY(t)
	cmd := exec.Command(self)
	cmd.Args = append([]string{name}, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "TERM=") }), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	limit := time.AfterFunc(60*time.Second, func() { cmd.Process.Kill() })
	defer limit.Stop()
	var shown strings.Builder
	buffer := make([]byte, 4096)
	for {
		n, err := master.Read(buffer)
		shown.Write(buffer[:n])
		for len(keys) > 0 && strings.Contains(shown.String(), keys[0][0]) {
			master.WriteString(keys[0][1])
			keys = keys[1:]
		}
		if err != nil {
			break // EIO: nobody has the other side open any more
		}
	}
	cmd.Wait()
	if len(keys) > 0 {
		t.Errorf("%q was never shown; what was:\n%s", keys[0][0], shown.String())
	}
	return shown.String(), cmd.ProcessState.ExitCode()
}

// site is a coordinator for a test on terminals, and the environment to reach it with.
func site(t *testing.T) []string {
	t.Helper()
	state, err := os.MkdirTemp("/tmp", "kadeploy-pty-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	nodes := strings.NewReplacer("node-[1-3].lab", "griffon-[1-3].nancy.grid5000.fr").Replace(clusters)
	_, stop, err := start(daemonFor(t), state, kind{nodes, "acl: {whitelist: [127.0.0.1]}", 22, ""})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	home := t.TempDir()
	if err := os.WriteFile(home+"/min.dsc", []byte("name: min\nos: linux\nimage: {file: server:///etc/hostname, kind: tar, compression: gzip}\nboot: {kernel: /vmlinuz}\nfilesystem: ext4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(home+"/.ssh", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(home+"/.ssh/authorized_keys", []byte("ssh-ed25519 AAAA me\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"KADEPLOY_SOCKET=" + state + "/s", "KADEPLOY3_CONFIG_DIR=" + home, "HOME=" + home}
}

// verdict reads the output of a deployment as execo (https://mimbert.gitlabpages.inria.fr/execo/)
// does: it applies these expressions to each line that it reads from a pseudo-terminal.
func verdict(text string) (ok, ko []string) {
	var (
		successful = regexp.MustCompile(`^The \w+ is successful on nodes\s*$`)
		failed     = regexp.MustCompile(`^The \w+ failed on nodes\s*$`)
		good       = regexp.MustCompile(`^(\w+-\d+\.\w+\.grid5000\.fr)\s*$`)
		bad        = regexp.MustCompile(`^(\w+-\d+\.\w+\.grid5000\.fr)\s*(?:\(.*\))?\s*$`)
	)
	list := ""
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case successful.MatchString(line):
			list = "ok"
		case failed.MatchString(line):
			list = "ko"
		case list == "ok" && good.MatchString(line):
			ok = append(ok, good.FindStringSubmatch(line)[1])
		case list == "ko" && bad.MatchString(line):
			ko = append(ko, bad.FindStringSubmatch(line)[1])
		}
	}
	return ok, ko
}

func TestExeco(t *testing.T) {
	env := site(t)
	nodes := []string{"griffon-1.nancy.grid5000.fr", "griffon-2.nancy.grid5000.fr"}
	never := "SetDeploymentEnv|SetDeploymentEnvDummy:0:20&BroadcastEnv|BroadcastEnvDummy:0:20&BootNewEnv|BootNewEnvHardReboot:0:20"
	for _, terminal := range []string{"", "TERM=dumb", "TERM=xterm"} {
		for _, fails := range []bool{false, true} {
			args := []string{"-k", "-d", "-a", strings.TrimPrefix(env[2], "HOME=") + "/min.dsc", "-m", nodes[0], "-m", nodes[1]}
			if fails {
				args = append(args, "--force-steps", never)
			}
			text, status := onTerminal(t, append(slices.Clone(env), terminal), nil, "kadeploy3", args...)
			ok, ko := verdict(text)
			want := ok
			if fails {
				want = ko
			}
			if status != 0 || !slices.Equal(want, nodes) || len(ok)+len(ko) != len(nodes) {
				t.Errorf("with %q, failing %v: status %d, ok %v, ko %v of\n%q", terminal, fails, status, ok, ko, text)
			}
			if drawn := strings.Contains(text, "\x1b["); drawn != (terminal == "TERM=xterm") {
				t.Errorf("with %q, the live view is drawn: %v", terminal, drawn)
			}
		}
	}
}

// TestKeys types Enter and ^C while a reboot runs.
func TestKeys(t *testing.T) {
	env := site(t)
	keys := [][2]string{{"  reboot", "\r"}, {"status (", "\x03"}}
	text, status := onTerminal(t, env, keys, "kareboot3", "-m", "griffon-1", "-r", "simple")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	block := regexp.MustCompile(`(?m)^---\nReboot operation status \(\d+s\):\n  \[Simple-\w+\] ~\d+s \(\*\*\) griffon-1.nancy.grid5000.fr\n---$`)
	if status != 1 || !block.MatchString(text) || !strings.HasSuffix(text, "SIGINT trapped\n") {
		t.Errorf("status %d, shown:\n%s", status, text)
	}
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); { // its end is written down first
		if text, status = onTerminal(t, env, nil, "kanodes3", "-r"); strings.Contains(text, "done: true") {
			break
		}
	}
	if status != 0 || !strings.Contains(text, "done: true") {
		t.Errorf("the reboot was not cancelled: status %d, %s", status, text)
	}
}

// TestWatchKeys: the view of a watched operation goes on, and Enter shows who is where.
func TestWatchKeys(t *testing.T) {
	env := site(t)
	text, status := onTerminal(t, env, nil, "kareboot3", "-m", "griffon-1", "-r", "simple", "--no-wait")
	wid, _, _ := strings.Cut(text, " ")
	if status != 0 || !strings.HasPrefix(wid, "R-") {
		t.Fatalf("status %d, shown:\n%s", status, text)
	}
	keys := [][2]string{{"0/1 done  2s", "\r"}, {"status (", "\x03"}}
	text, status = onTerminal(t, append(slices.Clone(env), "TERM=xterm"), keys, "kadeploy", "watch", wid)
	text = strings.ReplaceAll(text, "\r\n", "\n")
	block := regexp.MustCompile(`(?m)---\nReboot operation status \([1-9]\d*s\):\n(  \[Simple-\w+\] ~\d+s \((OK|\*\*)\) griffon-1.nancy.grid5000.fr\n)+---$`)
	if status != 1 || !block.MatchString(text) {
		t.Errorf("status %d, shown:\n%q", status, text)
	}
}

// TestDeleteAsks: on a terminal a deletion is confirmed.
func TestDeleteAsks(t *testing.T) {
	env := site(t)
	file := strings.TrimPrefix(env[2], "HOME=") + "/min.dsc"
	if text, status := onTerminal(t, env, nil, "kaenv3", "-a", file); status != 0 {
		t.Fatalf("status %d, %s", status, text)
	}
	for _, tt := range []struct{ answer, want string }{
		{"n\r", "Nothing is deleted"}, {"\r", "Nothing is deleted"}, {"yes\r", ""},
	} {
		text, status := onTerminal(t, env, [][2]string{{"Delete min:1@", tt.answer}}, "kaenv3", "-d", "min")
		if status != 0 || !strings.Contains(text, "? [y/N] ") || !strings.Contains(text, tt.want) {
			t.Errorf("%q: status %d, %q", tt.answer, status, text)
		}
	}
	if text, _ := onTerminal(t, env, nil, "kaenv3", "-l"); text != "No environment has been found\r\n" {
		t.Errorf("it was not deleted: %q", text)
	}
}

// TestConsole opens a console whose command greets and then repeats what is typed.
func TestConsole(t *testing.T) {
	env := site(t)
	keys := [][2]string{{"console of griffon-2", "hello\r"}, {"hello\r\nhello", "\x1b\x1b\x1b\x1b"}}
	text, status := onTerminal(t, env, keys, "kaconsole3", "-m", "griffon-2")
	if status != 0 || !strings.HasPrefix(text, "[Kaconsole] kill sequence: ^[^[^[^[\r\n") {
		t.Errorf("status %d, shown:\n%q", status, text)
	}
	text, status = onTerminal(t, env, nil, "kanodes3", "-c")
	if status != 0 || strings.Contains(text, "C-") {
		t.Errorf("the console is still there: status %d, %s", status, text)
	}
	// ^D ends the command, and so the console.
	text, status = onTerminal(t, env, [][2]string{{"console of griffon-3", "\x04"}}, "kaconsole3", "-m", "griffon-3")
	if status != 0 {
		t.Errorf("status %d, shown:\n%q", status, text)
	}
}
