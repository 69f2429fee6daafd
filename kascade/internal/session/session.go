// Package session makes TLS 1.3 sessions whose certificates nobody checks, and the keying
// material with which two sides prove, after the handshake, that they share a key for
// exactly that session. Without such a proof a session is secret from those who only
// listen, and from nobody else.
package session

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// label is that of the exported keying material (RFC 8446, section 7.5).
const label = "EXPORTER-kascade"

// Server makes the configuration of a listener, with a throw-away certificate.
func Server() (*tls.Config, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
		// A session that was resumed would export the keying material anew, but nobody needs it.
		SessionTicketsDisabled: true,
	}, nil
}

// Client makes the configuration of a dialer. Who the listener is, is proved by the key
// and not by its certificate.
func Client() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}
}

// Start does the handshake, and returns the 32 bytes that are known to the two ends of
// this session and to nobody else.
func Start(ctx context.Context, conn *tls.Conn) ([]byte, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	state := conn.ConnectionState()
	return state.ExportKeyingMaterial(label, nil, 32)
}
