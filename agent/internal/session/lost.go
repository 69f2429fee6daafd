package session

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

type lostKey struct{}

// WithLoss is a context of a call that can tell whether the session that it came on is lost.
func WithLoss(ctx context.Context, lost func() bool) context.Context {
	return context.WithValue(ctx, lostKey{}, lost)
}

// lossTime is how long the loss of a session may take to be noticed, after calls on it have ended.
const lossTime = time.Second

// Lost tells of a call whose context has ended whether that is because its session
// broke, and not because the coordinator gave it up.
func Lost(ctx context.Context) bool {
	lost, ok := ctx.Value(lostKey{}).(func() bool)
	if !ok || ctx.Err() == nil {
		return false
	}
	for end := time.Now().Add(lossTime); !lost(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// lossStream lets the calls of a session tell whether it is lost.
func lossStream(lost func() bool) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		return recoverStream(srv, &lossy{stream, WithLoss(stream.Context(), lost)}, info, handle)
	}
}

type lossy struct {
	grpc.ServerStream
	ctx context.Context
}

func (l *lossy) Context() context.Context { return l.ctx }
