// Package session owns the agent's way to the coordinator: it dials, checks who
// answers, proves whose node this is, and serves gRPC on the connection
// (proto/agent/session/SPEC.md). It does this again whenever the connection is
// lost. What the RPCs do is no business of it.
package session

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/hashicorp/yamux"
	"google.golang.org/grpc"

	agentv1 "kadeploy/proto/agent/v1"

	wire "kadeploy/proto/agent/session"
)

// Config is what a session is given.
type Config struct {
	Coordinator string // HOST:PORT to dial
	Fingerprint string // of the coordinator's certificate, hexadecimal
	Hello       wire.Hello
	Key         ed25519.PrivateKey // the agent's own, the same for as long as the node is up
	Logger      *slog.Logger
}

// RefusedError is the coordinator's "no".
type RefusedError struct {
	Reason string
	Final  bool // asking again with the same proof is useless
}

func (e *RefusedError) Error() string { return "the coordinator refuses this node: " + e.Reason }

// Run keeps a session with the coordinator and serves server on it, until ctx
// ends; it returns an error only for a configuration that can never work.
func Run(ctx context.Context, cfg Config, server agentv1.AgentServer) error {
	if err := cfg.Hello.Check(); err != nil {
		return err
	}
	tlsConfig, err := clientTLS(cfg.Key, cfg.Fingerprint)
	if err != nil {
		return err
	}
	logger := cfg.Logger.With("coordinator", cfg.Coordinator)
	pause := backoff{}
	for ctx.Err() == nil {
		mux, err := open(ctx, cfg, tlsConfig)
		if err == nil {
			logger.Info("session open")
			pause.reset()
			err = serve(ctx, mux, server)
		}
		if ctx.Err() != nil {
			break
		}
		wait := pause.next(err)
		logger.Warn("no session", "cause", err, "again_in", wait.Round(time.Millisecond))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	return nil
}

// serve answers the coordinator's calls until the session or ctx ends.
func serve(ctx context.Context, mux *yamux.Session, server agentv1.AgentServer) error {
	g := grpc.NewServer(grpc.UnaryInterceptor(recoverUnary), grpc.StreamInterceptor(lossStream(mux.IsClosed)), grpc.MaxRecvMsgSize(maxMessage))
	agentv1.RegisterAgentServer(g, server)
	stop := context.AfterFunc(ctx, g.Stop)
	defer stop()
	err := g.Serve(mux)
	// Calls that are under way hear of the loss by their contexts, and end in their own time.
	mux.Close()
	g.Stop()
	if err == nil || errors.Is(err, net.ErrClosed) {
		err = errors.New("the connection was closed")
	}
	return fmt.Errorf("session ended: %w", err)
}

// maxMessage bounds one message of the coordinator: scripts travel in one.
const maxMessage = 16 << 20

// backoff is the wait between two dials, with a jitter that keeps a thousand
// nodes from dialling at once when a coordinator comes back.
type backoff struct{ last time.Duration }

func (b *backoff) reset() { b.last = 0 }

func (b *backoff) next(cause error) time.Duration {
	b.last = min(max(2*b.last, wire.RedialMin), wire.RedialMax)
	wait := b.last/2 + rand.N(b.last/2)
	if refused, ok := errors.AsType[*RefusedError](cause); ok && refused.Final {
		wait += wire.RedialFinal
	}
	return wait
}
