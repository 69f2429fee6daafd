package session

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	agentv1 "kadeploy/proto/agent/v1"

	wire "kadeploy/proto/agent/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a server that answers Describe, and panics when asked to reboot.
type node struct {
	agentv1.UnimplementedAgentServer
}

func (node) Describe(context.Context, *agentv1.DescribeRequest) (*agentv1.DescribeReply, error) {
	return &agentv1.DescribeReply{Hostname: "node-1.lab"}, nil
}
func (node) Reboot(context.Context, *agentv1.RebootRequest) (*agentv1.RebootReply, error) {
	panic("no reset line")
}

// coordinator is the other end, as far as SPEC.md says; reply decides about each hello.
type coordinator struct {
	t        *testing.T
	listener net.Listener
	config   *tls.Config
	reply    func(wire.Hello, string) wire.Reply
}

func listen(t *testing.T, reply func(hello wire.Hello, keyID string) wire.Reply) *coordinator {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &coordinator{t: t, listener: listener, reply: reply, config: &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{wire.ALPN}, ClientAuth: tls.RequireAnyClientCert,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}}
}

func (c *coordinator) agentConfig() Config {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	return Config{
		Coordinator: c.listener.Addr().String(),
		Fingerprint: strings.ToUpper(wire.Fingerprint(c.config.Certificates[0].Certificate[0])),
		Hello:       wire.Hello{Node: "node-1.lab", Token: "00ff", BootID: "boot"},
		Key:         key,
		Logger:      slog.New(slog.DiscardHandler),
	}
}

var errRefused = errors.New("refused")

// accept takes one connection through the handshakes.
func (c *coordinator) accept() (*yamux.Session, error) {
	raw, err := c.listener.Accept()
	if err != nil {
		return nil, err
	}
	raw.SetDeadline(time.Now().Add(10 * time.Second))
	conn := tls.Server(raw, c.config)
	var hello wire.Hello
	if err := wire.ReadFrame(conn, &hello); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	reply := c.reply(hello, wire.KeyID(conn.ConnectionState().PeerCertificates[0]))
	if err := wire.WriteFrame(conn, &reply); err != nil || !reply.OK {
		return nil, errors.Join(errRefused, err, raw.Close())
	}
	raw.SetDeadline(time.Time{})
	return yamux.Client(conn, wire.Multiplexing(io.Discard))
}

func (c *coordinator) client(mux *yamux.Session) (agentv1.AgentClient, func()) {
	c.t.Helper()
	conn, err := grpc.NewClient("passthrough:///node", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return mux.Open() }))
	if err != nil {
		c.t.Fatal(err)
	}
	return agentv1.NewAgentClient(conn), func() { conn.Close(); mux.Close() }
}

// start runs the agent's side; the returned function ends it and waits.
func start(t *testing.T, cfg Config) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := Run(ctx, cfg, node{}); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return func() { cancel(); running.Wait() }
}

func accepted(wire.Hello, string) wire.Reply { return wire.Reply{OK: true} }

func TestCallsAndRedial(t *testing.T) {
	var keys []string
	c := listen(t, func(h wire.Hello, key string) wire.Reply {
		if h.Token != "00ff" || h.Node != "node-1.lab" {
			return wire.Reply{Error: fmt.Sprintf("hello %+v", h), Final: true}
		}
		keys = append(keys, key)
		return wire.Reply{OK: true}
	})
	stop := start(t, c.agentConfig())
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 2 { // the second time after the connection was cut
		mux, err := c.accept()
		if err != nil {
			t.Fatal(err)
		}
		client, hangUp := c.client(mux)
		reply, err := client.Describe(ctx, &agentv1.DescribeRequest{})
		if err != nil || reply.Hostname != "node-1.lab" {
			t.Fatalf("Describe = %v, %v", reply, err)
		}
		hangUp()
	}
	if len(keys) != 2 || keys[0] != keys[1] {
		t.Errorf("keys presented: %v, want the same twice", keys)
	}
}

func TestPanicOfOneCall(t *testing.T) {
	c := listen(t, accepted)
	stop := start(t, c.agentConfig())
	defer stop()
	mux, err := c.accept()
	if err != nil {
		t.Fatal(err)
	}
	client, hangUp := c.client(mux)
	defer hangUp()
	_, err = client.Reboot(t.Context(), &agentv1.RebootRequest{})
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "no reset line") {
		t.Errorf("Reboot = %v, want Internal and the panic's text", err)
	}
	if _, err := client.Describe(t.Context(), &agentv1.DescribeRequest{}); err != nil {
		t.Errorf("Describe after a panic: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config, *coordinator)
		want   string
	}{
		{"another certificate", func(cfg *Config, _ *coordinator) {
			cfg.Fingerprint = strings.Repeat("0", 64)
		}, "not the coordinator that booted this node"},
		{"no common protocol", func(_ *Config, c *coordinator) {
			c.config.NextProtos = []string{"h2"}
		}, "application protocol"},
		{"no protocol at all", func(_ *Config, c *coordinator) {
			c.config.NextProtos = nil
		}, "does not speak"},
		{"refused", func(_ *Config, c *coordinator) {
			c.reply = func(wire.Hello, string) wire.Reply { return wire.Reply{Error: "wrong token", Final: true} }
		}, "wrong token"},
		{"nobody there", func(_ *Config, c *coordinator) { c.listener.Close() }, "refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := listen(t, accepted)
			cfg := c.agentConfig()
			test.change(&cfg, c)
			tlsConfig, err := clientTLS(cfg.Key, cfg.Fingerprint)
			if err != nil {
				t.Fatal(err)
			}
			var accepting sync.WaitGroup
			accepting.Go(func() { c.accept() })
			_, err = open(t.Context(), cfg, tlsConfig)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("open = %v, want %q in it", err, test.want)
			}
			c.listener.Close()
			accepting.Wait()
		})
	}
}

// A coordinator that accepts and then says nothing must not hold an agent that is told to end.
func TestRunEndsDuringHandshake(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := listen(t, accepted)
	cfg := c.agentConfig()
	cfg.Coordinator = listener.Addr().String()
	stop := start(t, cfg)
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("Run ended after %s", took)
	}
}

func TestRunRefusesConfiguration(t *testing.T) {
	c := listen(t, accepted)
	for name, change := range map[string]func(*Config){
		"fingerprint": func(cfg *Config) { cfg.Fingerprint = "12" },
		"node":        func(cfg *Config) { cfg.Hello.Node = "" },
		"key":         func(cfg *Config) { cfg.Key = nil },
	} {
		cfg := c.agentConfig()
		change(&cfg)
		if err := Run(t.Context(), cfg, node{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Run without a usable %s = %v", name, err)
		}
	}
}

func TestBackoff(t *testing.T) {
	var b backoff
	for i, full := range []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
		if got := b.next(io.EOF); got < full/2 || got > full {
			t.Errorf("wait %d = %s, want half of %s or more, up to it", i, got, full)
		}
	}
	if got := b.next(&RefusedError{Final: true}); got < wire.RedialFinal {
		t.Errorf("wait after a final refusal = %s, want at least %s", got, wire.RedialFinal)
	}
	b.reset()
	if got := b.next(io.EOF); got > wire.RedialMin {
		t.Errorf("wait after a session = %s, want a short one", got)
	}
}

func TestLoadKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kadeploy", "agent.key")
	first, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key = %v, want 0600", info.Mode())
	}
	second, err := LoadKey(path)
	if err != nil || !first.Equal(second) {
		t.Errorf("second LoadKey = another key, %v", err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(path); err == nil || !strings.Contains(err.Error(), "5 bytes") {
		t.Errorf("LoadKey of a broken file = %v", err)
	}
}
