package broadcast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	agentv1 "kadeploy/proto/agent/v1"
)

// link is one call of Agent.Receive, seen by the chain as a stream of bytes.
//
// Close ends the node's part but not the call: the node still has to say how it
// went, which is known when ended is closed.
type link struct {
	target Target
	call   agentv1.Agent_ReceiveClient
	cancel context.CancelFunc
	in     *io.PipeReader
	out    sync.Mutex // held while something is sent
	closed bool       // nothing is sent any more; guarded by out

	ended chan struct{}        // closed when the call is over; then these stand:
	done  *agentv1.ReceiveDone // nil if the node did not finish
	err   error                // how the call ended, nil if with OK
}

func newLink(ctx context.Context, t Target, open *agentv1.ReceiveOpen) (*link, error) {
	ctx, cancel := context.WithCancel(ctx)
	call, err := t.Agent.Receive(ctx)
	if err == nil {
		mine := &agentv1.ReceiveOpen{Name: open.Name, Sink: open.Sink, Advertise: t.Address, TransferId: open.TransferId}
		err = call.Send(&agentv1.ReceiveRequest{Kind: &agentv1.ReceiveRequest_Open{Open: mine}})
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("call the agent: %w", err)
	}
	r, w := io.Pipe()
	l := &link{target: t, call: call, cancel: cancel, in: r, ended: make(chan struct{})}
	go l.pump(w)
	return l, nil
}

// pump hands on what the node sends until the call ends.
func (l *link) pump(w *io.PipeWriter) {
	defer close(l.ended)
	defer l.cancel()
	for {
		reply, err := l.call.Recv()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				l.err = err
			}
			w.CloseWithError(err)
			return
		}
		switch kind := reply.Kind.(type) {
		case *agentv1.ReceiveReply_Control:
			// An error means that the chain has closed the link: only the end is waited for now.
			w.Write(kind.Control)
		case *agentv1.ReceiveReply_Done:
			l.done = kind.Done
		}
	}
}

func (l *link) Read(p []byte) (int, error) { return l.in.Read(p) }

func (l *link) Write(p []byte) (int, error) {
	// gRPC may still hold the message when Send returns, and the chain may use p again.
	l.out.Lock()
	defer l.out.Unlock()
	if l.closed {
		// gRPC would end the call for it, and with it a node that is about to say how well it went.
		return 0, fmt.Errorf("control link to %s: %w", l.target.Node, io.ErrClosedPipe)
	}
	message := &agentv1.ReceiveRequest{Kind: &agentv1.ReceiveRequest_Control{Control: slices.Clone(p)}}
	if err := l.call.Send(message); err != nil {
		return 0, fmt.Errorf("control link to %s: %w", l.target.Node, err)
	}
	return len(p), nil
}

// unread is how long a Write may take when the link is closed. One that takes longer is
// blocked on a node that does not read: only the end of the call frees it.
const unread = time.Second

func (l *link) Close() error {
	l.in.Close()
	if !l.out.TryLock() {
		go func() {
			end := time.AfterFunc(unread, l.cancel)
			defer end.Stop()
			l.out.Lock()
			l.shut() // an error is that of the call's end
		}()
		return nil
	}
	return l.shut()
}

// shut tells the node that no more comes, and unlocks out.
func (l *link) shut() error {
	defer l.out.Unlock()
	l.closed = true
	return l.call.CloseSend()
}

// lost tells that a status is about the way to the node, not from the node.
func lost(c codes.Code) bool {
	return c == codes.Unavailable || c == codes.Canceled || c == codes.DeadlineExceeded || c == codes.Unknown
}
