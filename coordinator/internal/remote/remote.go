// Package remote runs commands over ssh, as root and with the site's deployment
// key, on nodes that run another system than the mini-OS: one that was deployed
// on them before, or just now. It decides nothing about what is run.
//
// Host keys are neither checked nor remembered. A node is another host after
// each deployment, and its keys are made on its first boot, where nobody whom the
// coordinator trusts sees them: a key that is pinned at first sight is the key of
// whoever answered first, and has changed by rights the next time. What protects:
//
//   - only public keys authenticate, and their signature is bound to the session:
//     an impostor cannot use it elsewhere; no password is sent, no agent is forwarded;
//   - what goes over the connection is no more than what the boot service gives to
//     whoever has the node's address: a one-time token of the mini-OS, and files that anybody may read;
//   - that a node runs a trusted system is decided by the coordinator's own records
//     first. What the node says of itself can only take that trust away.
package remote

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
)

// Config is what Shells are made from.
type Config struct {
	KeyFile string        // private key that root's account on the nodes accepts
	Port    int           // of sshd; 22 if 0
	Connect time.Duration // limit of connection and login together; 10 s if 0
}

// Shells are the root shells of the nodes' systems.
type Shells struct {
	cfg Config
}

// New makes Shells. The key is read when it is needed: it may be made later.
func New(cfg Config) *Shells {
	if cfg.Port == 0 {
		cfg.Port = 22
	}
	if cfg.Connect == 0 {
		cfg.Connect = 10 * time.Second
	}
	return &Shells{cfg: cfg}
}

// Run runs a command line with root's shell on a machine, and returns when the
// command has ended, whatever it left in the background. stdin may be nil. The
// error is nil if the command was run, however it ended: status is its exit status.
func (s *Shells) Run(ctx context.Context, address netip.Addr, line string, stdin io.Reader, stdout, stderr io.Writer) (status int, err error) {
	client, err := s.dial(ctx, address)
	if err != nil {
		return -1, fmt.Errorf("ssh to %s as root: %w", address, err)
	}
	defer client.Close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	status, err = run(client, line, stdin, stdout, stderr)
	if ctx.Err() != nil && err != nil {
		return -1, context.Cause(ctx)
	}
	if err != nil {
		return -1, fmt.Errorf("ssh to %s as root: %w", address, err)
	}
	return status, nil
}

func (s *Shells) dial(ctx context.Context, address netip.Addr) (*ssh.Client, error) {
	signer, err := s.key()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Connect)
	defer cancel()
	to := net.JoinHostPort(address.String(), strconv.Itoa(s.cfg.Port))
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, to, &ssh.ClientConfig{
		User: "root",
		Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error {
			return nil // see the package's comment
		},
	})
	if !stop() && err == nil {
		err = ctx.Err() // it was closed in the last moment
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("no login within %v", s.cfg.Connect)
		}
		return nil, fmt.Errorf("login with %s: %w", s.cfg.KeyFile, err)
	}
	return ssh.NewClient(c, channels, requests), nil
}

func (s *Shells) key() (ssh.Signer, error) {
	text, err := os.ReadFile(s.cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("the deployment key: %w; make it with ssh-keygen, or correct ssh_private_key in server.conf", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("the deployment key %s: %w", s.cfg.KeyFile, err)
	}
	return signer, nil
}
