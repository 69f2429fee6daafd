// Package fleet holds the sessions of the agents: it accepts the connections
// that nodes dial, checks what they prove, and gives the rest of the coordinator
// a gRPC client for each node. It asks nothing of a node by itself.
//
// The way in is specified in proto/agent/session/SPEC.md.
package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"kadeploy/proto/agent/session"
	agentv1 "kadeploy/proto/agent/v1"
)

// Admission decides whether the holder of a key speaks for a node.
type Admission interface {
	Admit(ctx context.Context, node, token, key string) error
}

// Config is what a Fleet is made from; all fields but Moved and Logger are needed.
type Config struct {
	Certificate tls.Certificate       // the coordinator's; agents pin its fingerprint
	Addresses   map[string]netip.Addr // of the nodes, by name: where their agents dial from
	Admission   Admission
	Moved       func(node string) (netip.Addr, bool) // nil: no node is ever moved to a VLAN where it has another address
	Logger      *slog.Logger                         // nil: none
}

// Agent is the open session of one node. Its RPCs fail with codes.Unavailable once the session is gone.
type Agent struct {
	agentv1.AgentClient
	Node    string
	BootID  string // tells one boot of the node from the next
	Version string
	Address netip.Addr
	Since   time.Time

	raw  net.Conn
	mux  *yamux.Session
	conn *grpc.ClientConn
	once sync.Once
}

// Gone is closed when the session has ended.
func (a *Agent) Gone() <-chan struct{} { return a.mux.CloseChan() }

// open tells whether the session still stands. One that has just broken is in the
// fleet's table for a moment longer.
func (a *Agent) open() bool {
	select {
	case <-a.Gone():
		return false
	default:
		return true
	}
}

// Close ends the session. The agent dials again if it still runs.
func (a *Agent) Close() error {
	var err error
	a.once.Do(func() {
		// The connection goes first: while yamux closes its end in order, who reads from
		// its streams turns in a circle, and a wave of reboots closes a thousand at once.
		a.raw.Close()
		err = errors.Join(a.mux.Close(), a.conn.Close())
	})
	return err
}

// Fleet is the set of open sessions, at most one for a node.
type Fleet struct {
	cfg Config

	mu      sync.Mutex
	agents  map[string]*Agent
	changed map[string]chan struct{} // of nodes that are waited for: closed and dropped when the node's session changes
}

// New returns a Fleet without sessions.
func New(cfg Config) (*Fleet, error) {
	if cfg.Admission == nil || len(cfg.Certificate.Certificate) == 0 {
		return nil, errors.New("fleet: a certificate and an admission are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Fleet{cfg: cfg, agents: make(map[string]*Agent), changed: make(map[string]chan struct{})}, nil
}

// Agent is the session of a node, if one is open now.
func (f *Fleet) Agent(node string) (*Agent, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.agents[node]
	return a, ok
}

// Await waits until the node has a session that suits, or ctx ends. A nil suits takes any.
func (f *Fleet) Await(ctx context.Context, node string, suits func(*Agent) bool) (*Agent, error) {
	for {
		f.mu.Lock()
		a, ok := f.agents[node]
		changed := f.change(node)
		f.mu.Unlock()
		if ok && a.open() && (suits == nil || suits(a)) {
			return a, nil
		}
		select {
		case <-ctx.Done():
			if ok {
				return nil, fmt.Errorf("the agent of %s is still that of the previous boot: %w", node, ctx.Err())
			}
			return nil, fmt.Errorf("the agent of %s has not dialled: %w", node, ctx.Err())
		case <-changed:
		}
	}
}

// change is closed at the next change of the node's session. A node has its own: who
// waits for one of thousands is not woken by each of them. f.mu is held.
func (f *Fleet) change(node string) chan struct{} {
	c := f.changed[node]
	if c == nil {
		c = make(chan struct{})
		f.changed[node] = c
	}
	return c
}

// tell wakes those who wait for a change of the node's session. f.mu is held.
func (f *Fleet) tell(node string) {
	if c := f.changed[node]; c != nil {
		close(c)
		delete(f.changed, node)
	}
}

// Agents lists the open sessions.
func (f *Fleet) Agents() []*Agent {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]*Agent, 0, len(f.agents))
	for _, a := range f.agents {
		list = append(list, a)
	}
	return list
}

// Cut breaks all sessions. Agents that still run dial again.
func (f *Fleet) Cut() {
	for _, a := range f.Agents() {
		a.mux.Close() // first: the agent tells by it that the session is lost, and no call given up
		a.Close()
	}
}

// Serve accepts agents until ctx ends, and closes the listener and every session then.
func (f *Fleet) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { <-ctx.Done(); ln.Close() })
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			var temporary net.Error
			if errors.As(err, &temporary) && temporary.Timeout() || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept agents on %s: %w", ln.Addr(), err)
			}
			// Out of file descriptors and the like: others may still be served.
			f.cfg.Logger.Error("cannot accept an agent", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		wg.Go(func() { f.serve(ctx, conn) })
	}
}

// serve owns one connection until its session ends.
func (f *Fleet) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	agent, err := f.open(ctx, conn)
	if err != nil {
		f.cfg.Logger.Warn("agent refused", "address", conn.RemoteAddr().String(), "error", err)
		return
	}
	f.put(agent)
	f.cfg.Logger.Info("agent connected", "node", agent.Node, "boot", agent.BootID, "version", agent.Version)
	select {
	case <-ctx.Done():
	case <-agent.Gone():
	}
	f.drop(agent)
	agent.Close()
	f.cfg.Logger.Info("agent gone", "node", agent.Node, "boot", agent.BootID)
}

// put makes a the session of its node and ends the one that was.
func (f *Fleet) put(a *Agent) {
	f.mu.Lock()
	old := f.agents[a.Node]
	f.agents[a.Node] = a
	f.tell(a.Node)
	f.mu.Unlock()
	if old != nil {
		old.Close()
	}
}

func (f *Fleet) drop(a *Agent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.agents[a.Node] != a {
		return
	}
	delete(f.agents, a.Node)
	f.tell(a.Node)
}

// open does the handshakes of SPEC.md, all within its limit.
func (f *Fleet) open(ctx context.Context, raw net.Conn) (*Agent, error) {
	ctx, cancel := context.WithTimeout(ctx, session.HelloLimit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })() // ends a blocked read
	if err := raw.SetDeadline(time.Now().Add(session.HelloLimit)); err != nil {
		return nil, err
	}
	conn := tls.Server(raw, f.tls())
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	var hello session.Hello
	if err := session.ReadFrame(conn, &hello); err != nil {
		return nil, err
	}
	address, err := f.admit(ctx, conn, &hello)
	reply := session.Reply{OK: err == nil}
	if err != nil {
		reply.Error, reply.Final = err.Error(), ctx.Err() == nil
	}
	if werr := session.WriteFrame(conn, &reply); err != nil || werr != nil {
		return nil, errors.Join(err, werr)
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	agent, err := multiplex(conn, &hello, address, f.cfg.Logger)
	if err == nil {
		agent.raw = raw
	}
	return agent, err
}

func (f *Fleet) tls() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{f.cfg.Certificate},
		NextProtos:   []string{session.ALPN},
		// The agent's certificate only carries its key: admit decides about it.
		ClientAuth: tls.RequireAnyClientCert,
	}
}

func (f *Fleet) admit(ctx context.Context, conn *tls.Conn, hello *session.Hello) (netip.Addr, error) {
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != session.ALPN {
		return netip.Addr{}, fmt.Errorf("the agent does not speak %s: build the mini-OS again", session.ALPN)
	}
	if err := hello.Check(); err != nil {
		return netip.Addr{}, err
	}
	known, ok := f.cfg.Addresses[hello.Node]
	if !ok {
		return netip.Addr{}, fmt.Errorf("node %q is in no cluster of this coordinator", hello.Node)
	}
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("address of the agent: %w", err)
	}
	address := from.Addr().Unmap()
	if f.cfg.Moved != nil {
		if there, moved := f.cfg.Moved(hello.Node); moved && address == there {
			known = there
		}
	}
	if address != known {
		return netip.Addr{}, fmt.Errorf("%s dials from %s, and its address is %s", hello.Node, address, known)
	}
	return known, f.cfg.Admission.Admit(ctx, hello.Node, hello.Token, session.KeyID(state.PeerCertificates[0]))
}

// bufferSize is that of a gRPC connection in each direction, in bytes: more than any usual message.
const bufferSize = 4 << 10

// multiplex turns an admitted connection into a gRPC client that opens its streams on it.
func multiplex(conn *tls.Conn, hello *session.Hello, address netip.Addr, log *slog.Logger) (*Agent, error) {
	mux, err := yamux.Client(conn, session.Multiplexing(io.Discard))
	if err != nil {
		return nil, fmt.Errorf("multiplex: %w", err)
	}
	client, err := grpc.NewClient("passthrough:///"+hello.Node,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // TLS is below yamux
		// Thousands of connections are open at once, most of them idle: gRPC's own buffers of 32 KiB
		// in each direction would be most of the coordinator's memory.
		grpc.WithReadBufferSize(bufferSize), grpc.WithWriteBufferSize(bufferSize),
		grpc.WithUnaryInterceptor(lostUnary), grpc.WithStreamInterceptor(lostStream),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return mux.Open() }),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gRPC over the session: %w", err), mux.Close())
	}
	return &Agent{
		AgentClient: agentv1.NewAgentClient(client),
		Node:        hello.Node, BootID: hello.BootID, Version: hello.Agent, Address: address, Since: time.Now(),
		mux: mux, conn: client,
	}, nil
}
