package initsys

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	hostKey        = "/run/sshd/ssh_host_ed25519_key" // as in the image's sshd_config
	siteKeys       = "/etc/kadeploy/authorized_keys"  // from an archive that the boot service adds to the initrd
	authorizedKeys = "/root/.ssh/authorized_keys"
)

// startSSHD makes the host's key, installs the site's keys and keeps sshd running. It returns once sshd answers.
func (s *system) startSSHD(ctx context.Context) error {
	if err := installSiteKeys(); err != nil {
		s.logger.Warn("nobody can log in", "cause", err)
	}
	if err := makeHostKey(hostKey); err != nil {
		return err
	}
	s.spawn("sshd", func() { s.children.keep(ctx, Program{Path: "/usr/sbin/sshd", Args: []string{"-D", "-e"}}) })
	limited, cancel := context.WithTimeout(ctx, 30*time.Second) // not ctx: sshd stays
	defer cancel()
	if err := waitFor(limited, func() bool { return listening(22) }); err != nil {
		return fmt.Errorf("sshd does not answer on port 22: %w", err)
	}
	return nil
}

func installSiteKeys() error {
	keys, err := os.ReadFile(siteKeys)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the site's ssh keys: %w", err)
	}
	if err := os.MkdirAll("/root/.ssh", 0o700); err != nil {
		return fmt.Errorf("install the site's ssh keys: %w", err)
	}
	if err := os.WriteFile(authorizedKeys, keys, 0o600); err != nil {
		return fmt.Errorf("install the site's ssh keys: %w", err)
	}
	return nil
}

// makeHostKey writes a new Ed25519 key in OpenSSH's format; each boot is another host to whoever remembers keys.
func makeHostKey(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make the ssh host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return fmt.Errorf("make the ssh host key: %w", err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return fmt.Errorf("write the ssh host key: %w", err)
	}
	return nil
}

// listening asks the kernel, not the port: sshd would log a visitor who says nothing.
func listening(port uint16) bool {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err == nil && listens(string(text), port) {
			return true
		}
	}
	return false
}

// listens reads /proc/net/tcp (proc(5)): the second field is the local address and port, the fourth the state; 0A is LISTEN.
func listens(table string, port uint16) bool {
	for _, line := range strings.Split(table, "\n") {
		fields := strings.Fields(line)
		if len(fields) > 3 && fields[3] == "0A" && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
			return true
		}
	}
	return false
}
