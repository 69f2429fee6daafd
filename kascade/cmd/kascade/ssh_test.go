package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kadeploy/kascade/internal/launch/launchtest"
)

// sshSite is a head with a real sshd in a network namespace. All "hosts" 127.0.0.x share
// one file system: outputs are told apart by SSH_CONNECTION.
type sshSite struct {
	*launchtest.Server
	t     *testing.T
	image string
	data  []byte
}

func newSSHSite(t *testing.T, size int) *sshSite {
	s := &sshSite{Server: launchtest.NewServer(t), t: t, data: make([]byte, size)}
	rand.NewChaCha8([32]byte{7}).Read(s.data)
	s.image = filepath.Join(s.Dir, "image")
	must(t, os.WriteFile(s.image, s.data, 0o600))
	return s
}

// own puts the copy into a file that has the address of its node in its name.
func (s *sshSite) own() string {
	return `set -- $SSH_CONNECTION; cat >` + s.Dir + `/copy-$3`
}

func (s *sshSite) args(more ...string) []string {
	return append([]string{"-S", strings.Join(s.SSH()[len(s.Inside()):], " ")}, more...)
}

func (s *sshSite) copyOf(host string) []byte {
	b, _ := os.ReadFile(s.Dir + "/copy-" + host)
	return b
}

// check compares the copies of hosts, and that nothing is left.
func (s *sshSite) check(hosts []string) {
	s.t.Helper()
	for _, h := range hosts {
		if got := s.copyOf(h); !bytes.Equal(got, s.data) {
			s.t.Errorf("%s has %d bytes of %d, or wrong ones", h, len(got), len(s.data))
		}
	}
	s.Clean(s.t)
}

// TestSSHBroadcast: a dozen hosts, three of which cannot be reached.
func TestSSHBroadcast(t *testing.T) {
	s := newSSHSite(t, 5<<20+3)
	r := realRun(t, s.Inside(), nil, s.args("-i", s.image, "-O", s.own(), "-N", "127.0.0.[1-12],127.0.0.99,nobody@127.0.0.1,10.9.0.2",
		"-k", s.Dir+"/ok", "-K", s.Dir+"/ko", "--connect-timeout", "2")...)
	if r.code != exitSome {
		t.Errorf("exit code %d, want %d", r.code, exitSome)
	}
	t.Logf("took %v, printed:\n%s", r.took, &r.err)
	s.check(launchtest.Hosts(1, 12))
	var ok []string
	ko := map[string]string{}
	readYAML(t, s.Dir+"/ok", &ok)
	readYAML(t, s.Dir+"/ko", &ko)
	if len(ok) != 12 {
		t.Errorf("ok: %v", ok)
	}
	for host, want := range map[string]string{"127.0.0.99": "Host key verification failed", "nobody@127.0.0.1": "Permission denied", "10.9.0.2": "timed out"} {
		if !strings.Contains(ko[host], want) {
			t.Errorf("ko[%s] = %q, want %q", host, ko[host], want)
		}
	}
}

// TestSSHSinks: what can go wrong with an output harms its own node only.
func TestSSHSinks(t *testing.T) {
	s := newSSHSite(t, 5<<20)
	must(t, os.Mkdir(s.Dir+"/full", 0o700))
	launchtest.Run(t, "mount", "-t", "tmpfs", "-o", "size=1m", "none", s.Dir+"/full")
	defer launchtest.Run(t, "umount", s.Dir+"/full")
	// The node's part differs by its address, as only a command can.
	command := `set -- $SSH_CONNECTION; case $3 in
		*.2) cat >` + s.Dir + `/full/x;;
		*.3) cat >/dev/null; echo no good >&2; exit 1;;
		*.4) exec <&-; exec sleep 30;;
		*) cat >` + s.Dir + `/copy-$3;; esac`
	r := realRun(t, s.Inside(), nil, s.args("-i", s.image, "-O", command, "-N", "127.0.0.[1-5]", "-K", s.Dir+"/ko")...)
	if r.code != exitSome {
		t.Errorf("exit code %d, want %d\n%s", r.code, exitSome, &r.err)
	}
	s.check([]string{"127.0.0.1", "127.0.0.5"})
	ko := map[string]string{}
	readYAML(t, s.Dir+"/ko", &ko)
	for host, want := range map[string]string{"127.0.0.2": "No space left on device", "127.0.0.3": "exit status 1; it printed: no good", "127.0.0.4": "does not read any more"} {
		if !strings.Contains(ko[host], want) {
			t.Errorf("ko[%s] = %q, want %q", host, ko[host], want)
		}
	}
	r = realRun(t, s.Inside(), nil, s.args("-i", s.image, "-o", s.Dir+"/full/y", "-N", "127.0.0.1")...)
	if r.code != exitFatal || !strings.Contains(r.err.String(), "no space left on device") {
		t.Errorf("a full disk: exit code %d, %s", r.code, &r.err)
	}
	if left, _ := os.ReadDir(s.Dir + "/full"); len(left) != 1 { // x is the command's own
		t.Errorf("left on the full disk: %v", left)
	}
	s.Clean(t)
}

// TestSSHInterrupt: ^C stops all nodes in order; when the head is killed they end, too.
func TestSSHInterrupt(t *testing.T) {
	s := newSSHSite(t, 1<<20)
	for _, c := range []struct {
		signal syscall.Signal
		times  int
		code   int
	}{{syscall.SIGINT, 1, exitFatal}, {syscall.SIGINT, 2, exitImpatient}, {syscall.SIGKILL, 1, -1}} {
		// One that does not end at once, so that there is time for impatience.
		command := `echo $$ >>` + s.Dir + `/pids; trap "" INT; exec sleep 1000`
		// It runs without a wrapper, so that the signal is the head's.
		r := realStart(t, s.Inside(), nil, s.args("-i", s.image, "-O", command, "-N", "127.0.0.[1-3]")...)
		for range 300 {
			if b, _ := os.ReadFile(s.Dir + "/pids"); bytes.Count(b, []byte("\n")) == 3 {
				break
			}
			time.Sleep(30 * time.Millisecond)
		}
		for range c.times {
			r.cmd.Process.Signal(c.signal)
			time.Sleep(100 * time.Millisecond)
		}
		r.wait(t)
		if r.code != c.code || r.took > 5*time.Second {
			t.Errorf("%v: exit code %d after %v, want %d\n%s", c.signal, r.code, r.took, c.code, &r.err)
		}
		s.Clean(t)
		b, err := os.ReadFile(s.Dir + "/pids")
		must(t, err)
		pids := strings.Fields(string(b))
		if len(pids) != 3 {
			t.Errorf("commands ran on %d nodes, want 3", len(pids))
		}
		for _, pid := range pids {
			if _, err := os.Stat("/proc/" + pid); err == nil {
				t.Errorf("%v: command %s still runs", c.signal, pid)
			}
		}
		must(t, os.Remove(s.Dir+"/pids"))
	}
}

// TestSSHDirectory: a directory with what directories have.
func TestSSHDirectory(t *testing.T) {
	s := newSSHSite(t, 1<<20)
	from := s.Dir + "/from"
	must(t, os.MkdirAll(from+"/sub", 0o750))
	must(t, os.WriteFile(from+"/sub/file", s.data, 0o640))
	must(t, os.Symlink("sub/file", from+"/link"))
	r := realRun(t, s.Inside(), nil, s.args("-i", from, "-o", s.Dir+"/to", "-N", "127.0.0.1")...)
	if r.code != exitOK {
		t.Fatalf("exit code %d\n%s", r.code, &r.err)
	}
	launchtest.Run(t, "diff", "-r", from, s.Dir+"/to")
	if to, err := os.Readlink(s.Dir + "/to/link"); err != nil || to != "sub/file" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	// A file into a directory keeps its name.
	if r = realRun(t, s.Inside(), nil, s.args("-i", s.image, "-o", s.Dir+"/to", "-N", "127.0.0.1")...); r.code != exitOK {
		t.Fatalf("exit code %d\n%s", r.code, &r.err)
	}
	launchtest.Run(t, "cmp", s.image, s.Dir+"/to/image")
	// A directory into a command comes as an archive.
	if r = realRun(t, s.Inside(), nil, s.args("-i", from, "-O", "tar -C "+s.Dir+"/by-tar -x", "-N", "127.0.0.1")...); r.code != exitFatal {
		t.Errorf("without the directory: exit code %d\n%s", r.code, &r.err)
	}
	must(t, os.Mkdir(s.Dir+"/by-tar", 0o700))
	if r = realRun(t, s.Inside(), nil, s.args("-i", from, "-O", "tar -C "+s.Dir+"/by-tar -x", "-N", "127.0.0.1")...); r.code != exitOK {
		t.Fatalf("exit code %d\n%s", r.code, &r.err)
	}
	launchtest.Run(t, "diff", "-r", from, s.Dir+"/by-tar")
	// The standard input, over two chains.
	if r = realRun(t, s.Inside(), s.data, s.args("-i", "-", "-o", s.Dir+"/stream", "-N", "127.0.0.[1-2]", "--encrypt", "--chains", "2")...); r.code == exitFatal {
		t.Fatalf("exit code %d\n%s", r.code, &r.err)
	}
	launchtest.Run(t, "cmp", s.image, s.Dir+"/stream")
	s.Clean(t)
}

// TestSSHHeadKilled: a node whose head is killed half-way leaves no part of its file.
func TestSSHHeadKilled(t *testing.T) {
	s := newSSHSite(t, 24<<20)
	out := s.Dir + "/out"
	must(t, os.Mkdir(out, 0o700))
	launchtest.Run(t, append(s.Inside(), "tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", "80mbit", "burst", "128k", "latency", "50ms")...)
	r := realStart(t, s.Inside(), nil, s.args("-i", s.image, "-o", out+"/copy", "-N", "127.0.0.1")...)
	waitFor(t, func() bool { return partial(out, "copy") > 1<<20 })
	r.cmd.Process.Kill()
	r.wait(t)
	s.Clean(t)
	waitFor(t, func() bool { left, _ := os.ReadDir(out); return len(left) == 0 })
}

// TestSSHAsKadeploy: the call that Kadeploy makes.
func TestSSHAsKadeploy(t *testing.T) {
	s := newSSHSite(t, 3<<20)
	must(t, os.WriteFile(s.Dir+"/nodes", []byte("127.0.0.1\n127.0.0.2\n127.0.0.3\n"), 0o600))
	connector := "ssh -A -l root -q -F none -o ConnectTimeout=8 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i " + s.Dir + "/user"
	r := realRun(t, s.Inside(), nil, "-i", s.image, "-n", s.Dir+"/nodes", "-O", s.own(), "-S", connector, "--ok", s.Dir+"/ok", "--ko", s.Dir+"/ko",
		"-I", "-D", "taktuk", "-P", "-d 10 -s")
	if want := "kascade: note: -D taktuk means ssh; -I, -P (options of taktuk) without effect, see --help\n"; r.code != exitOK || !strings.HasPrefix(r.err.String(), want) {
		t.Errorf("exit code %d, it printed:\n%s\nwant first: %s", r.code, &r.err, want)
	}
	s.check(launchtest.Hosts(1, 3))
}
