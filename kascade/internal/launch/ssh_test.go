package launch

import (
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kadeploy/kascade/internal/launch/launchtest"
)

func TestSSH(t *testing.T) {
	s := launchtest.NewServer(t)
	conform(t, func(t *testing.T) subject {
		t.Cleanup(func() { s.Clean(t) })
		return subject{
			Launcher: &SSH{Command: s.SSH()}, good: launchtest.Hosts(1, 3), bad: "127.0.0.99", why: "Host key verification failed",
			hangs: "10.9.0.2", within: 10 * time.Second,
		}
	})
}

// TestFakeSSH runs the host's side with a shell of this machine.
func TestFakeSSH(t *testing.T) {
	dir := t.TempDir()
	fake := dir + "/fake"
	must(t, os.WriteFile(fake, []byte(`#!/bin/sh
export TMPDIR='`+dir+`/tmp' SSH_CONNECTION="127.0.0.1 1 $1 22"
echo Welcome to KSC.
case $1 in
127.0.0.3) echo no such host >&2; exit 255;;
127.0.0.4) sleep 100;;
esac
shift; exec sh -c "$1"
`), 0o700))
	must(t, os.Mkdir(dir+"/tmp", 0o700))
	conform(t, func(t *testing.T) subject {
		t.Cleanup(func() {
			if left, _ := os.ReadDir(dir + "/tmp"); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
		return subject{Launcher: &SSH{Command: []string{fake}}, good: launchtest.Hosts(1, 2), bad: "127.0.0.3", why: "no such host", hangs: "127.0.0.4", within: 5 * time.Second}
	})
}

// TestSSHFailures: each host that cannot be brought up says why, and delays nobody for long.
func TestSSHFailures(t *testing.T) {
	s := launchtest.NewServer(t)
	must(t, os.Mkdir(s.Dir+"/small", 0o700))
	must(t, os.WriteFile(s.Dir+"/sleep", []byte("sleep 3"), 0o700)) // a shell script of one line
	must(t, os.WriteFile(s.Dir+"/sparc", []byte("\x7fELF\x02\x02\x01rest"), 0o700))
	launchtest.Run(t, "mount", "-t", "tmpfs", "-o", "size=64k", "none", s.Dir+"/small")
	defer launchtest.Run(t, "umount", s.Dir+"/small")
	launchtest.Run(t, "mount", "-t", "tmpfs", "-o", "noexec", "none", s.Tmp)
	defer launchtest.Run(t, "umount", s.Tmp)
	for _, c := range []struct {
		name, host, want string
		change           func(*SSH)
		within           time.Duration
	}{
		{"wrong host key", "127.0.0.99", "Host key verification failed", nil, 6 * time.Second},
		{"login refused", "nobody@127.0.0.1", "Permission denied", nil, 6 * time.Second},
		{"does not answer", "10.9.0.2", "timed out", func(l *SSH) { l.Connect = 2 * time.Second }, 7 * time.Second},
		{"stands still", "127.0.0.1", "no progress of the launch for 1s", func(l *SSH) { l.Program = s.Dir + "/sleep"; l.Patient = time.Second }, 7 * time.Second},
		{"unknown name", "no-such-host.invalid", "resolve", nil, 12 * time.Second},
		{"nothing listens", "127.0.0.1", "Connection refused", func(l *SSH) { l.Params = []string{"-p", "23"} }, 6 * time.Second},
		{"disk full", "127.0.0.1", "could not be copied to DIR/small: gzip: stdout: No space left on device", func(l *SSH) { l.Dir = s.Dir + "/small" }, 6 * time.Second},
		{"not executable", "127.0.0.1", "nothing can be written and executed", func(l *SSH) { l.Dir = s.Tmp }, 6 * time.Second},
		{"another machine's program", "127.0.0.1", "xec format error", func(l *SSH) { l.Program = s.Dir + "/sparc" }, 6 * time.Second},
		{"no ssh", "127.0.0.1", "no-such-ssh", func(l *SSH) { l.Command = []string{"no-such-ssh"} }, 6 * time.Second},
		{"no program", "127.0.0.1", "no such file", func(l *SSH) { l.Program = "/none/such" }, 6 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &SSH{Command: s.SSH()}
			if c.change != nil {
				c.change(l)
			}
			start := time.Now()
			up, failed := l.Launch(t.Context(), []Node{{Name: c.host}})
			if len(up) != 0 || failed[c.host] == nil || !strings.Contains(failed[c.host].Error(), strings.ReplaceAll(c.want, "DIR", s.Dir)) {
				t.Errorf("up %v, failed %v, want %q", up, failed, c.want)
			}
			t.Log(failed[c.host])
			if d := time.Since(start); d > patience*c.within {
				t.Errorf("took %v, want at most %v", d, patience*c.within)
			}
			must(t, l.Close())
			s.Clean(t)
		})
	}
}

// TestSSHMany: dozens of hosts through a small window, some of which fail in every way at once.
func TestSSHMany(t *testing.T) {
	s := launchtest.NewServer(t)
	names := launchtest.Hosts(1, 36)
	bad := []string{"127.0.0.99", "nobody@127.0.0.90"}
	var nodes []Node
	for i, name := range names {
		if i%15 == 3 && len(bad) > i/15 {
			nodes = append(nodes, Node{Name: bad[i/15]})
		}
		nodes = append(nodes, Node{name, []byte("I am " + name)})
	}
	l := &SSH{Command: s.SSH(), Window: 8, Patient: time.Minute}
	start := time.Now()
	up, failed := l.Launch(t.Context(), nodes)
	t.Logf("%d nodes up in %v", len(up), time.Since(start))
	if len(up) != len(names) || len(failed) != len(nodes)-len(names) {
		t.Errorf("%d up, failed %v, want %d up", len(up), failed, len(names))
	}
	for _, p := range up {
		if !strings.HasPrefix(p.Name, "127.0.0.") || p.Name == "127.0.0.99" {
			t.Fatalf("%s is up", p.Name)
		}
		talk(t, p)
	}
	for _, p := range up {
		p.Control.Close()
	}
	must(t, l.Close())
	s.Clean(t)
}

// TestSSHDies: the node ends when its ssh is killed, or its link is closed; and the link
// of a node that ends says how.
func TestSSHDies(t *testing.T) {
	s := launchtest.NewServer(t)
	var mu sync.Mutex
	var said []string
	l := &SSH{Command: s.SSH(), Said: func(node, line string) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, node+": "+line)
	}}
	up, failed := l.Launch(t.Context(), []Node{{Name: "127.0.0.1"}, {Name: "127.0.0.2", Order: []byte("fail")}})
	if len(failed) != 0 {
		t.Fatal(failed)
	}
	for _, p := range up {
		if p.Name == "127.0.0.1" {
			syscall.Kill(-p.Control.(*process).cmd.Process.Pid, syscall.SIGKILL)
		}
		_, err := p.Control.Read(make([]byte, 1))
		if want := map[string]string{"127.0.0.1": "killed", "127.0.0.2": "told to fail"}[p.Name]; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", p.Name, err, want)
		}
		p.Control.Close()
	}
	must(t, l.Close())
	s.Clean(t)
	mu.Lock()
	defer mu.Unlock()
	if len(said) != 1 || said[0] != "127.0.0.2: told to fail" {
		t.Errorf("said: %q", said)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
