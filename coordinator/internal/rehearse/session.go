package rehearse

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/yamux"
	"google.golang.org/grpc"

	"kadeploy/proto/agent/session"
	agentv1 "kadeploy/proto/agent/v1"
)

// certificate makes a key, as an agent does at its first start, and the certificate that carries it.
func certificate() (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(240 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, err
}

// dial opens a session as proto/agent/session/SPEC.md says.
func dial(ctx context.Context, a bootArguments, from netip.Addr, cert tls.Certificate, boot string, wrap func(net.Conn) net.Conn) (*yamux.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, session.HelloLimit)
	defer cancel()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
	raw, err := dialer.DialContext(ctx, "tcp", a.coordinator)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(wrap(raw), &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{session.ALPN}, Certificates: []tls.Certificate{cert},
		InsecureSkipVerify: true, // the fingerprint is the proof
		VerifyConnection: func(s tls.ConnectionState) error {
			if got := session.Fingerprint(s.PeerCertificates[0].Raw); got != a.fingerprint {
				return fmt.Errorf("the coordinator's certificate is %s, not %s", got, a.fingerprint)
			}
			return nil
		},
	})
	if err := greet(ctx, conn, session.Hello{Node: a.node, Token: a.token, BootID: boot, Agent: "rehearsal"}); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	mux, err := yamux.Server(conn, session.Multiplexing(io.Discard))
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return mux, nil
}

func greet(ctx context.Context, conn *tls.Conn, hello session.Hello) error {
	if err := conn.SetDeadline(time.Now().Add(2 * session.HelloLimit)); err != nil {
		return err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	if err := session.WriteFrame(conn, &hello); err != nil {
		return err
	}
	var reply session.Reply
	if err := session.ReadFrame(conn, &reply); err != nil {
		return err
	}
	if !reply.OK {
		return fmt.Errorf("the coordinator refuses %s: %s", hello.Node, reply.Error)
	}
	return conn.SetDeadline(time.Time{})
}

// serve answers calls until the session or ctx ends.
func serve(ctx context.Context, mux *yamux.Session, server agentv1.AgentServer) {
	g := grpc.NewServer(grpc.MaxRecvMsgSize(16 << 20))
	agentv1.RegisterAgentServer(g, server)
	stop := context.AfterFunc(ctx, func() { mux.Close(); g.Stop() })
	defer stop()
	g.Serve(mux)
	mux.Close()
	g.Stop()
}
