package session

import (
	"bytes"
	"context"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// lineLogger takes the lines of yamux's own log, which tell why a session ended.
type lineLogger struct{ logger *slog.Logger }

func (l lineLogger) Write(line []byte) (int, error) {
	l.logger.Debug("multiplexer", "line", string(bytes.TrimSpace(line)))
	return len(line), nil
}

// A call that panics fails; those beside it, an extraction perhaps, go on.

func recoverUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (reply any, err error) {
	defer func() { catch(info.FullMethod, recover(), &err) }()
	return handle(ctx, req)
}

func recoverStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer func() { catch(info.FullMethod, recover(), &err) }()
	return handle(srv, stream)
}

func catch(method string, cause any, err *error) {
	if cause != nil {
		*err = status.Errorf(codes.Internal, "%s: the agent has a bug: panic: %v: %s", method, cause, firstFrames(debug.Stack()))
	}
}

// firstFrames keeps of a stack what tells where the panic was.
func firstFrames(stack []byte) []byte {
	lines := bytes.Split(stack, []byte("\n"))
	if at := bytes.Index(stack, []byte("\npanic(")); at >= 0 {
		lines = bytes.Split(stack[at+1:], []byte("\n"))
	}
	return bytes.Join(lines[:min(len(lines), 8)], []byte("; "))
}
