package session

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/yamux"

	wire "kadeploy/proto/agent/session"
)

// clientTLS presents a certificate of key and accepts only the certificate with the fingerprint.
func clientTLS(key ed25519.PrivateKey, fingerprint string) (*tls.Config, error) {
	fingerprint = strings.ToLower(fingerprint)
	if raw, err := hex.DecodeString(fingerprint); err != nil || len(raw) != 32 {
		return nil, fmt.Errorf("fingerprint %q of the coordinator is not 64 hexadecimal digits: see the kernel argument kadeploy.fingerprint", fingerprint)
	}
	certificate, err := selfSigned(key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{wire.ALPN},
		Certificates: []tls.Certificate{certificate},
		// Names, dates and authorities mean nothing here: the fingerprint is the proof.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			got := wire.Fingerprint(state.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare([]byte(got), []byte(fingerprint)) != 1 {
				return fmt.Errorf("its certificate has the fingerprint %s, not %s: this is not the coordinator that booted this node", got, fingerprint)
			}
			if state.NegotiatedProtocol != wire.ALPN {
				return fmt.Errorf("it does not speak %s", wire.ALPN)
			}
			return nil
		},
	}, nil
}

// selfSigned wraps the key into the certificate that TLS wants; only the key in it counts.
func selfSigned(key ed25519.PrivateKey) (tls.Certificate, error) {
	if len(key) != ed25519.PrivateKeySize {
		return tls.Certificate{}, fmt.Errorf("the agent's key has %d bytes, want %d", len(key), ed25519.PrivateKeySize)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "kadeploy-agent"},
		NotBefore:    time.Unix(0, 0), // a node's clock may be anywhere
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the agent's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// open dials and goes through the handshakes. All of it is bounded in time.
func open(ctx context.Context, cfg Config, tlsConfig *tls.Config) (*yamux.Session, error) {
	dialer := net.Dialer{Timeout: wire.HelloLimit}
	raw, err := dialer.DialContext(ctx, "tcp", cfg.Coordinator)
	if err != nil {
		return nil, fmt.Errorf("dial the coordinator: %w", err)
	}
	conn := tls.Client(raw, tlsConfig)
	if err := greet(ctx, conn, cfg.Hello); err != nil {
		raw.Close()
		return nil, err
	}
	mux, err := yamux.Server(conn, wire.Multiplexing(lineLogger{cfg.Logger}))
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("multiplex the connection: %w", err)
	}
	return mux, nil
}

func greet(ctx context.Context, conn *tls.Conn, hello wire.Hello) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // ends what blocks
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(wire.HelloLimit)); err != nil {
		return fmt.Errorf("greet the coordinator: %w", err)
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS with %s: %w", conn.RemoteAddr(), err)
	}
	if err := wire.WriteFrame(conn, &hello); err != nil {
		return fmt.Errorf("say hello: %w", err)
	}
	if err := conn.SetDeadline(time.Now().Add(wire.HelloLimit)); err != nil {
		return fmt.Errorf("greet the coordinator: %w", err)
	}
	var reply wire.Reply
	if err := wire.ReadFrame(conn, &reply); err != nil {
		return fmt.Errorf("wait for the coordinator's reply: %w", err)
	}
	if !reply.OK {
		return &RefusedError{Reason: reply.Error, Final: reply.Final}
	}
	if !stop() {
		return errors.Join(errors.New("greet the coordinator"), context.Cause(ctx))
	}
	return conn.SetDeadline(time.Time{})
}
