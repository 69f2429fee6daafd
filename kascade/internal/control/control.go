// Package control makes the control links of the stand-alone tool (SPEC, section 9): TLS
// 1.3 with a throw-away certificate, and on it a proof by both sides that they know the
// shared key for exactly this session. It carries no message of the chain itself.
package control

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"kadeploy/kascade/internal/session"
)

// Limits of the proof.
const (
	MaxName     = 255
	ProveWithin = 10 * time.Second

	version = 1
	magic   = "KSCT"
	macSize = 32
)

// ErrNotProved means that the other side does not know the shared key.
var ErrNotProved = errors.New("the other side does not know the key of this chain: give both the same --key-file")

// Acceptor is the head's side of control links.
type Acceptor struct {
	key    []byte
	config *tls.Config
}

// NewAcceptor makes a throw-away certificate. An empty key lets anyone join.
func NewAcceptor(key []byte) (*Acceptor, error) {
	config, err := session.Server()
	if err != nil {
		return nil, err
	}
	return &Acceptor{key: key, config: config}, nil
}

// Accept makes a control link of a connection that a node opened, and returns the name
// that the node gives itself. It closes conn on error.
func (a *Acceptor) Accept(ctx context.Context, conn net.Conn) (net.Conn, string, error) {
	link := tls.Server(conn, a.config)
	var name string
	err := prove(ctx, link, func(exporter []byte) error {
		var err error
		if name, err = readNode(link, a.key, exporter); err != nil {
			return err
		}
		reply := binary.BigEndian.AppendUint16([]byte(magic), version)
		_, err = link.Write(append(reply, mac(a.key, "kascade head", exporter)...))
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("control link from %v: %w", conn.RemoteAddr(), err)
	}
	return link, name, nil
}

// Dial opens the control link of the node called name.
func Dial(ctx context.Context, address string, key []byte, name string) (net.Conn, error) {
	if len(name) > MaxName {
		return nil, fmt.Errorf("name of %d bytes, the limit is %d", len(name), MaxName)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	link := tls.Client(conn, session.Client())
	err = prove(ctx, link, func(exporter []byte) error {
		hello := binary.BigEndian.AppendUint16([]byte(magic), version)
		hello = binary.BigEndian.AppendUint16(hello, uint16(len(name)))
		hello = append(hello, name...)
		if _, err := link.Write(append(hello, mac(key, "kascade node", exporter, hello)...)); err != nil {
			return err
		}
		return readHead(link, key, exporter)
	})
	if err != nil {
		return nil, fmt.Errorf("control link to %s: %w", address, err)
	}
	return link, nil
}

// prove does the TLS handshake and then the proof, within a limit.
func prove(ctx context.Context, link *tls.Conn, proof func(exporter []byte) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, ProveWithin)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { link.NetConn().Close() })
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			link.NetConn().Close()
		}
	}()
	exporter, err := session.Start(ctx, link)
	if err != nil {
		return err
	}
	return proof(exporter)
}

func readNode(r io.Reader, key, exporter []byte) (string, error) {
	b := make([]byte, 8, 8+MaxName)
	if _, err := io.ReadFull(r, b); err != nil {
		return "", err
	}
	if err := checkVersion(b); err != nil {
		return "", err
	}
	n := int(binary.BigEndian.Uint16(b[6:]))
	if n == 0 || n > MaxName {
		return "", fmt.Errorf("name of %d bytes, the limit is %d", n, MaxName)
	}
	b = b[:8+n]
	if _, err := io.ReadFull(r, b[8:]); err != nil {
		return "", err
	}
	if err := readMAC(r, mac(key, "kascade node", exporter, b)); err != nil {
		return "", err
	}
	return string(b[8:]), nil
}

func readHead(r io.Reader, key, exporter []byte) error {
	b := make([]byte, 6)
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("refused by the head: %w", ErrNotProved)
		}
		return err
	}
	if err := checkVersion(b); err != nil {
		return err
	}
	return readMAC(r, mac(key, "kascade head", exporter))
}

func checkVersion(b []byte) error {
	if string(b[:4]) != magic {
		return errors.New("the other side is not kascade")
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != version {
		return fmt.Errorf("the other side speaks version %d of the control link, this program version %d", v, version)
	}
	return nil
}

func readMAC(r io.Reader, want []byte) error {
	got := make([]byte, macSize)
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if !hmac.Equal(got, want) {
		return ErrNotProved
	}
	return nil
}

func mac(key []byte, label string, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	io.WriteString(m, label)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}
