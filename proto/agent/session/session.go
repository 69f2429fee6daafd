// Package session is the agreement by which a node's agent and the coordinator
// open a session, as specified in SPEC.md: names, limits, the hello frames, and
// how certificates are identified. Dialling and accepting belong to the two ends.
package session

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/yamux"
)

// Names and limits of SPEC.md.
const (
	ALPN              = "kadeploy-agent/1"
	MaxFrame          = 4096
	HelloLimit        = 10 * time.Second
	KeepAliveInterval = 5 * time.Second
	KeepAliveTimeout  = 15 * time.Second
	RedialMin         = 250 * time.Millisecond
	RedialMax         = 5 * time.Second
	RedialFinal       = 30 * time.Second // after a final refusal
)

// Hello is what an agent says first.
type Hello struct {
	Node   string `json:"node"`
	Token  string `json:"token,omitempty"` // hexadecimal
	BootID string `json:"boot_id"`
	Agent  string `json:"agent"` // version
}

// Reply is the coordinator's answer to a Hello.
type Reply struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	Final bool   `json:"final,omitempty"` // the same proof will be refused again
}

// Check reports the first member that breaks the limits of SPEC.md.
func (h *Hello) Check() error {
	for _, m := range []struct {
		name, value string
		min, max    int
	}{
		{"node", h.Node, 1, 253},
		{"token", h.Token, 0, 128},
		{"boot_id", h.BootID, 0, 64},
		{"agent", h.Agent, 0, 64},
	} {
		if len(m.value) < m.min || len(m.value) > m.max {
			return fmt.Errorf("hello: %s has %d bytes, want %d to %d", m.name, len(m.value), m.min, m.max)
		}
	}
	if _, err := hex.DecodeString(h.Token); err != nil {
		return errors.New("hello: token is not hexadecimal")
	}
	return nil
}

// WriteFrame writes v, a *Hello or a *Reply, as one frame.
func WriteFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode session frame: %w", err)
	}
	if len(body) > MaxFrame {
		return fmt.Errorf("session frame of %d bytes is longer than %d", len(body), MaxFrame)
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	if _, err := w.Write(append(frame, body...)); err != nil {
		return fmt.Errorf("write session frame: %w", err)
	}
	return nil
}

// ReadFrame reads one frame into v, a *Hello or a *Reply. The length is checked before anything is allocated.
func ReadFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("read session frame: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > MaxFrame {
		return fmt.Errorf("session frame announces %d bytes, want 1 to %d", n, MaxFrame)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return fmt.Errorf("read session frame of %d bytes: %w", n, err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("decode session frame: %w", err)
	}
	return nil
}

// Fingerprint identifies a coordinator's certificate: the SHA-256 of its DER encoding, in hexadecimal.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// KeyID identifies an agent's key: the SHA-256 of its public key (SubjectPublicKeyInfo), in hexadecimal.
func KeyID(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// Multiplexing is the yamux configuration of both ends; yamux's own log lines go to log.
func Multiplexing(log io.Writer) *yamux.Config {
	c := yamux.DefaultConfig()
	c.KeepAliveInterval = KeepAliveInterval
	c.ConnectionWriteTimeout = KeepAliveTimeout
	c.LogOutput = log
	return c
}
