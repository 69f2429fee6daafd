package remote

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshd is a small ssh server that runs what it is told with sh, for the holder of one key.
func sshd(t *testing.T, allowed ssh.PublicKey) int {
	t.Helper()
	_, host, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(host)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() == "root" && bytes.Equal(key.Marshal(), allowed.Marshal()) {
			return nil, nil
		}
		return nil, errors.New("no")
	}}
	cfg.AddHostKey(signer)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(conn, cfg)
		}
	}()
	return ln.Addr().(*net.TCPAddr).Port
}

func serve(conn net.Conn, cfg *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(conn, cfg)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				if r.Type != "exec" {
					r.Reply(false, nil)
					continue
				}
				r.Reply(true, nil)
				go execute(channel, string(r.Payload[4:]))
			}
		}()
	}
}

// execute sends the status when the shell has ended, and closes the channel when its
// output has, as OpenSSH does.
func execute(channel ssh.Channel, line string) {
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Stdin = channel
	out, w, err := os.Pipe()
	if err != nil {
		return
	}
	cmd.Stdout, cmd.Stderr = w, channel.Stderr()
	if strings.HasSuffix(line, "&") {
		cmd.Stdin, cmd.Stderr = nil, nil
	}
	if cmd.Start() != nil {
		return
	}
	w.Close()
	copied := make(chan struct{})
	go func() { defer close(copied); channelCopy(channel, out) }()
	cmd.Wait()
	channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(cmd.ProcessState.ExitCode())}))
	<-copied
	channel.Close()
}

func channelCopy(channel ssh.Channel, out *os.File) {
	b := make([]byte, 4096)
	for {
		n, err := out.Read(b)
		if n > 0 {
			channel.Write(b[:n])
		}
		if err != nil {
			return
		}
	}
}

func keyFile(t *testing.T) (string, ssh.PublicKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return file, key
}

var here = netip.MustParseAddr("127.0.0.1")

func TestRun(t *testing.T) {
	file, key := keyFile(t)
	s := New(Config{KeyFile: file, Port: sshd(t, key)})
	for _, c := range []struct {
		line, stdin, stdout, stderr string
		status                      int
	}{
		{"echo hello; echo oops >&2", "", "hello\n", "oops\n", 0},
		{"cat; exit 3", "what came in", "what came in", "", 3},
		{"echo gone; sleep 20 &", "", "gone\n", "", 0}, // it holds the output open
	} {
		var stdout, stderr bytes.Buffer
		began := time.Now()
		status, err := s.Run(t.Context(), here, c.line, strings.NewReader(c.stdin), &stdout, &stderr)
		if err != nil || status != c.status || stdout.String() != c.stdout || stderr.String() != c.stderr {
			t.Errorf("Run(%q) = %d, %v, %q, %q; want %d, %q, %q", c.line, status, err, &stdout, &stderr, c.status, c.stdout, c.stderr)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("Run(%q) took %v", c.line, took)
		}
	}
}

func TestRunSaysWhyNot(t *testing.T) {
	file, key := keyFile(t)
	other, _ := keyFile(t)
	port := sshd(t, key)
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{KeyFile: other, Port: port}, "login with " + other},
		{Config{KeyFile: filepath.Join(t.TempDir(), "none"), Port: port}, "correct ssh_private_key"},
		{Config{KeyFile: file, Port: 1}, "refused"},
		{Config{KeyFile: file, Port: mute.Addr().(*net.TCPAddr).Port, Connect: 50 * time.Millisecond}, "no login within 50ms"},
	} {
		var out bytes.Buffer
		if _, err := New(c.cfg).Run(t.Context(), here, "true", nil, &out, &out); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Run = %v, want %q", err, c.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	if _, err := New(Config{KeyFile: file, Port: port}).Run(ctx, here, "sleep 20", nil, &out, &out); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run = %v, want the deadline's error", err)
	}
}
