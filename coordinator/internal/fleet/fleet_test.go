package fleet

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kadeploy/proto/agent/session"
	agentv1 "kadeploy/proto/agent/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// admission accepts the token "aa" from anybody, and a key that was accepted before.
type admission struct{ keys map[string]bool }

func (a *admission) Admit(_ context.Context, node, token, key string) error {
	if token != "aa" && !a.keys[key] {
		return errors.New("wrong token for " + node)
	}
	a.keys[key] = true
	return nil
}

type describer struct {
	agentv1.UnimplementedAgentServer
	name  string
	asked chan struct{}
}

// InstallKeys never answers.
func (d describer) InstallKeys(ctx context.Context, _ *agentv1.InstallKeysRequest) (*agentv1.InstallKeysReply, error) {
	close(d.asked)
	<-ctx.Done()
	return nil, ctx.Err()
}

func (d describer) Describe(context.Context, *agentv1.DescribeRequest) (*agentv1.DescribeReply, error) {
	return &agentv1.DescribeReply{Hostname: d.name}, nil
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)},
		&x509.Certificate{SerialNumber: big.NewInt(1)}, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

// start serves a fleet of node n1 on loopback and returns where it listens.
func start(t *testing.T) (*Fleet, string) {
	t.Helper()
	f, err := New(Config{
		Certificate: certificate(t),
		Addresses:   map[string]netip.Addr{"n1": netip.MustParseAddr("127.0.0.1"), "far": netip.MustParseAddr("10.0.0.9")},
		Admission:   &admission{keys: map[string]bool{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return f, ln.Addr().String()
}

// dial is what an agent does; it returns the reply, and serves until the test ends if that is ok.
func dial(t *testing.T, address string, cert tls.Certificate, hello session.Hello) (session.Reply, *yamux.Session) {
	t.Helper()
	return dialAs(t, address, cert, hello, describer{name: hello.Node + "/" + hello.BootID})
}

func dialAs(t *testing.T, address string, cert tls.Certificate, hello session.Hello, answers agentv1.AgentServer) (session.Reply, *yamux.Session) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{session.ALPN}, Certificates: []tls.Certificate{cert},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := session.WriteFrame(conn, &hello); err != nil {
		t.Fatal(err)
	}
	var reply session.Reply
	if err := session.ReadFrame(conn, &reply); err != nil {
		t.Fatal(err)
	}
	if !reply.OK {
		return reply, nil
	}
	mux, err := yamux.Server(conn, session.Multiplexing(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	agentv1.RegisterAgentServer(server, answers)
	ended := make(chan struct{})
	go func() { defer close(ended); server.Serve(mux) }()
	t.Cleanup(func() { server.Stop(); mux.Close(); <-ended })
	return reply, mux
}

func TestSession(t *testing.T) {
	f, address := start(t)
	cert := certificate(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if reply, _ := dial(t, address, cert, session.Hello{Node: "n1", Token: "aa", BootID: "b1"}); !reply.OK {
		t.Fatalf("refused: %+v", reply)
	}
	first, err := f.Await(ctx, "n1", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := first.Describe(ctx, &agentv1.DescribeRequest{})
	if err != nil || got.Hostname != "n1/b1" {
		t.Fatalf("Describe = %v, %v", got, err)
	}

	// The agent dials again with its key alone: the new session replaces the old one.
	_, mux := dial(t, address, cert, session.Hello{Node: "n1", BootID: "b2"})
	second, err := f.Await(ctx, "n1", func(a *Agent) bool { return a.BootID == "b2" })
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-first.Gone():
	case <-ctx.Done():
		t.Error("the first session is still open")
	}
	if got, err := second.Describe(ctx, &agentv1.DescribeRequest{}); err != nil || got.Hostname != "n1/b2" {
		t.Errorf("Describe = %v, %v", got, err)
	}

	// The node's side ends: the fleet forgets it.
	mux.Close()
	<-second.Gone()
	for len(f.Agents()) > 0 && ctx.Err() == nil {
		f.mu.Lock()
		changed := f.change("n1")
		f.mu.Unlock()
		if len(f.Agents()) == 0 {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	if _, ok := f.Agent("n1"); ok {
		t.Error("a session that ended is still listed")
	}
}

// TestLostSession: a call under way fails as Unavailable when the session ends, also if
// it is the coordinator's own end that closes first.
func TestLostSession(t *testing.T) {
	f, address := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 20 { // which of the two is seen first is a race
		asked := make(chan struct{})
		if reply, _ := dialAs(t, address, certificate(t), session.Hello{Node: "n1", Token: "aa"}, describer{asked: asked}); !reply.OK {
			t.Fatalf("refused: %+v", reply)
		}
		agent, err := f.Await(ctx, "n1", nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() { <-asked; agent.Close() }()
		if _, err := agent.InstallKeys(ctx, &agentv1.InstallKeysRequest{}); status.Code(err) != codes.Unavailable {
			t.Fatalf("a call whose session was closed = %v, want code Unavailable", err)
		}
		<-agent.Gone()
	}
	agent := func() *Agent { a, _ := f.Agent("n1"); return a }
	for agent() != nil && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	_, mux := dialAs(t, address, certificate(t), session.Hello{Node: "n1", Token: "aa"}, describer{asked: make(chan struct{})})
	defer mux.Close()
	a, err := f.Await(ctx, "n1", nil)
	if err != nil {
		t.Fatal(err)
	}
	gone, giveUp := context.WithCancel(ctx)
	giveUp()
	if _, err := a.InstallKeys(gone, &agentv1.InstallKeysRequest{}); status.Code(err) != codes.Canceled {
		t.Errorf("a call that the caller gave up = %v, want code Canceled", err)
	}
}

func TestRefusals(t *testing.T) {
	f, address := start(t)
	for _, c := range []struct {
		name  string
		hello session.Hello
		want  string
	}{
		{"wrong token", session.Hello{Node: "n1", Token: "bb"}, "wrong token"},
		{"unknown node", session.Hello{Node: "n9", Token: "aa"}, "in no cluster"},
		{"another node's name", session.Hello{Node: "far", Token: "aa"}, "dials from 127.0.0.1"},
		{"no name", session.Hello{Token: "aa"}, "node has 0 bytes"},
	} {
		reply, _ := dial(t, address, certificate(t), c.hello)
		if reply.OK || !reply.Final || !strings.Contains(reply.Error, c.want) {
			t.Errorf("%s: reply %+v, want a final refusal with %q", c.name, reply, c.want)
		}
	}
	if n := len(f.Agents()); n != 0 {
		t.Errorf("%d sessions are open", n)
	}
}

func TestAwaitEndsWithContext(t *testing.T) {
	f, _ := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Await(ctx, "n1", nil); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "has not dialled") {
		t.Errorf("Await = %v", err)
	}
}
