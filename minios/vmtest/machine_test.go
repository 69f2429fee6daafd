package vmtest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/crypto/ssh"
)

// machine is one QEMU with the mini-OS, behind QEMU's own network: ports 22 and 25300 are forwarded from the loopback.
type machine struct {
	t       *testing.T
	cmd     *exec.Cmd
	console string // file
	disk    string // file
	ssh     string // address
	beacon  string
	signer  ssh.Signer
	ended   chan struct{}
}

func boot(t *testing.T, arguments string) *machine {
	t.Helper()
	image := os.Getenv("KADEPLOY_MINIOS")
	if image == "" {
		t.Fatal("KADEPLOY_MINIOS does not name the directory of a mini-OS: build it with make minios")
	}
	dir := t.TempDir()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, console: filepath.Join(dir, "console"), ssh: freePort(t), beacon: freePort(t), signer: signer, ended: make(chan struct{})}
	initrd := filepath.Join(dir, "initrd")
	withKey(t, filepath.Join(image, "initrd.img"), initrd, ssh.MarshalAuthorizedKey(signer.PublicKey()))
	disk := filepath.Join(dir, "disk")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 4<<30); err != nil {
		t.Fatal(err)
	}
	m.disk = disk
	m.cmd = exec.Command("qemu-system-x86_64",
		"-accel", "tcg", "-cpu", "qemu64", "-machine", "q35", "-m", "1024", "-smp", "1",
		"-display", "none", "-monitor", "none", "-no-reboot", "-serial", "file:"+m.console,
		"-kernel", filepath.Join(image, "vmlinuz"), "-initrd", initrd,
		"-append", "console=ttyS0 panic=-1 quiet "+arguments,
		"-drive", "if=none,id=d,format=raw,cache=unsafe,discard=unmap,file="+disk,
		"-device", "virtio-blk-pci,drive=d,serial=disk-a",
		"-netdev", fmt.Sprintf("user,id=n,hostfwd=tcp:%s-:22,hostfwd=tcp:%s-:25300", m.ssh, m.beacon),
		"-device", "virtio-net-pci,netdev=n", "-device", "virtio-rng-pci")
	var stderr bytes.Buffer
	m.cmd.Stderr = &stderr
	if err := m.cmd.Start(); err != nil {
		t.Fatalf("start QEMU: %v (scripts/install-packages.sh installs it)", err)
	}
	go func() { defer close(m.ended); _ = m.cmd.Wait() }()
	t.Cleanup(func() {
		_ = m.cmd.Process.Kill() // it may have ended by itself
		<-m.ended
		if t.Failed() {
			text, _ := os.ReadFile(m.console)
			t.Logf("command: %s\n%send of the console:\n%s", m.cmd, stderr.String(), text[max(0, len(text)-6000):])
		}
	})
	return m
}

// freePort returns an address on the loopback that nobody listened on just now.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// withKey adds the ssh key to the initrd as the boot service does: one more archive after it.
func withKey(t *testing.T, from, to string, key []byte) {
	t.Helper()
	initrd, err := os.ReadFile(from)
	if err != nil {
		t.Fatalf("%v: build it with make minios", err)
	}
	for len(initrd)%4 != 0 {
		initrd = append(initrd, 0)
	}
	overlay := bytes.NewBuffer(initrd)
	w := cpio.Newc.Writer(overlay)
	if err := cpio.WriteRecords(w, []cpio.Record{
		cpio.Directory("etc", 0o755), cpio.Directory("etc/kadeploy", 0o755),
		cpio.StaticFile("etc/kadeploy/authorized_keys", string(key), 0o644),
	}); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, overlay.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// awaitLine waits until a line of the console holds the text.
func (m *machine) awaitLine(text string, limit time.Duration) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if console, err := os.ReadFile(m.console); err == nil && strings.Contains(string(console), text) {
			return
		}
		select {
		case <-tick.C:
		case <-m.ended:
			m.t.Fatalf("QEMU ended before the console said %q", text)
		case <-ctx.Done():
			m.t.Fatalf("the console did not say %q within %s", text, limit)
		}
	}
}

// expectLine checks what the console said so far.
func (m *machine) expectLine(text string) {
	m.t.Helper()
	if console, err := os.ReadFile(m.console); err != nil || !strings.Contains(string(console), text) {
		m.t.Errorf("the console did not say %q (%v)", text, err)
	}
}

// login opens one ssh connection for the whole test.
func (m *machine) login() *ssh.Client {
	m.t.Helper()
	client, err := ssh.Dial("tcp", m.ssh, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(m.signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // the host made its key a second ago
		Timeout:         20 * time.Second,
	})
	if err != nil {
		m.t.Fatalf("ssh: %v", err)
	}
	m.t.Cleanup(func() { client.Close() })
	return client
}

// run runs a script with bash and returns what it printed.
func run(client *ssh.Client, script string) (string, error) {
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	session.Stdin = strings.NewReader(script)
	out, err := session.CombinedOutput("bash -eu")
	if err != nil {
		err = errors.Join(err, errors.New(string(out)))
	}
	return strings.TrimSpace(string(out)), err
}
