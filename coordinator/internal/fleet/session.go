package fleet

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "kadeploy/proto/agent/v1"
)

// Session waits until the node has a session of another boot than not (any, if
// that is empty) and returns a client for it and its boot ID.
func (f *Fleet) Session(ctx context.Context, node, not string) (agentv1.AgentClient, string, error) {
	a, err := f.Await(ctx, node, func(a *Agent) bool { return not == "" || a.BootID != not })
	if err != nil {
		return nil, "", err
	}
	return a.AgentClient, a.BootID, nil
}

// BootID is that of the node's open session, empty if there is none.
func (f *Fleet) BootID(node string) string {
	if a, ok := f.Agent(node); ok && a.open() {
		return a.BootID
	}
	return ""
}

// Dismiss ends a node's session, if there is one, as the node is known to run something
// else by now. A machine that jumps into another kernel does not close its connections.
func (f *Fleet) Dismiss(node string) {
	if a, ok := f.Agent(node); ok {
		f.drop(a)
		a.Close()
	}
}

// lost makes the loss of a session one and the same error, Unavailable: gRPC calls it
// Canceled when its own end of the connection is closed first, and then it could not be
// told from a caller who gave up.
func lost(ctx context.Context, err error) error {
	if status.Code(err) != codes.Canceled || ctx.Err() != nil {
		return err
	}
	return status.Error(codes.Unavailable, "the session has ended")
}

func lostUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return lost(ctx, invoke(ctx, method, req, reply, cc, opts...))
}

func lostStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, lost(ctx, err)
	}
	return &losingStream{stream, ctx}, nil
}

// losingStream is a stream whose errors lost has seen.
type losingStream struct {
	grpc.ClientStream
	ctx context.Context
}

func (s *losingStream) RecvMsg(m any) error { return lost(s.ctx, s.ClientStream.RecvMsg(m)) }
func (s *losingStream) SendMsg(m any) error { return lost(s.ctx, s.ClientStream.SendMsg(m)) }
