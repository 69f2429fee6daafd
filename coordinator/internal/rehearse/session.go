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

// link is an open session.
type link struct {
	raw net.Conn
	mux *yamux.Session
}

// dial opens a session as proto/agent/session/SPEC.md says.
func dial(ctx context.Context, a bootArguments, from netip.Addr, cert tls.Certificate, boot string, wrap func(net.Conn) net.Conn) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, session.HelloLimit)
	defer cancel()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
	raw, err := dialer.DialContext(ctx, "tcp", a.coordinator)
	if err != nil {
		return nil, err
	}
	raw = wrap(raw)
	conn := tls.Client(raw, &tls.Config{
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
	return &link{raw, mux}, nil
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

// serve answers calls until the session or ctx ends. The connection goes first: while
// yamux closes its end in order, who reads from its streams turns in a circle.
func (l *link) serve(ctx context.Context, server agentv1.AgentServer) {
	g := grpc.NewServer(grpc.MaxRecvMsgSize(16<<20), grpc.ReadBufferSize(4<<10), grpc.WriteBufferSize(4<<10))
	agentv1.RegisterAgentServer(g, server)
	stop := context.AfterFunc(ctx, func() { l.raw.Close(); l.mux.Close(); g.Stop() })
	defer stop()
	g.Serve(l.mux)
	l.raw.Close()
	l.mux.Close()
	g.Stop()
}
