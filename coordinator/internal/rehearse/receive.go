package rehearse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kadeploy/kascade"
	agentv1 "kadeploy/proto/agent/v1"
)

type receiveStream = grpc.BidiStreamingServer[agentv1.ReceiveRequest, agentv1.ReceiveReply]

// relayWindow is what a machine's relay holds at most, in bytes: a thousand share one memory.
const relayWindow = 1 << 20

// Receive joins the chain as a real node does.
func (a *agent) Receive(stream receiveStream) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	open := first.GetOpen()
	if open == nil {
		return status.Error(codes.InvalidArgument, "receive: the first message is not an open")
	}
	sink := &comparer{agent: a, image: a.life.machine.world.image}
	if open.Name != "image" {
		sink.image = nil // what a site's archives hold is not known here
	}
	options := kascade.NodeOptions{Listen: net.JoinHostPort(open.Advertise, "0"), Window: relayWindow}
	if err := kascade.Join(stream.Context(), newControl(stream), sink, options); err != nil {
		return status.Error(codes.Internal, fmt.Sprintf("receive the %s: %v", open.Name, err))
	}
	if open.Name == "image" {
		a.life.machine.received()
	}
	return stream.Send(&agentv1.ReceiveReply{Kind: &agentv1.ReceiveReply_Done{Done: &agentv1.ReceiveDone{
		ConsumedBytes: uint64(sink.at), WrittenBytes: uint64(sink.at),
	}}})
}

// comparer is a disk that knows what it should get. nil image: anything.
type comparer struct {
	agent *agent
	image []byte
	at    int
}

func (c *comparer) Write(p []byte) (int, error) {
	if c.image != nil {
		if c.at+len(p) > len(c.image) || !bytes.Equal(p, c.image[c.at:c.at+len(p)]) {
			return 0, fmt.Errorf("the bytes from %d to %d are not those of the image", c.at, c.at+len(p))
		}
		if c.at <= len(c.image)/2 && c.at+len(p) > len(c.image)/2 {
			if err := c.agent.life.faulty(AtReceive); err != nil {
				return 0, err
			}
		}
		c.drag(len(p))
	}
	c.at += len(p)
	return len(p), nil
}

// drag takes as long as a slow disk: ten times the machine's own slowness for the whole image.
func (c *comparer) drag(n int) {
	m := c.agent.life.machine
	if m.spec.Fault.Kind == Slow {
		c.agent.life.sleep(10 * m.world.spec.Delays.Slow * time.Duration(n) / time.Duration(len(c.image)))
	}
}

func (c *comparer) Commit(context.Context) error {
	if c.image != nil && c.at != len(c.image) {
		return fmt.Errorf("%d of %d bytes came", c.at, len(c.image))
	}
	return nil
}

func (c *comparer) Abort(error) {}

// control is a call of Receive, seen by the chain as a stream of bytes.
type control struct {
	stream receiveStream
	in     *io.PipeReader
	out    sync.Mutex
}

func newControl(stream receiveStream) *control {
	r, w := io.Pipe()
	go func() {
		for {
			message, err := stream.Recv()
			if err == nil {
				_, err = w.Write(message.GetControl())
			}
			if err != nil {
				w.CloseWithError(errors.Join(errors.New("the call has ended"), err))
				return
			}
		}
	}()
	return &control{stream: stream, in: r}
}

func (c *control) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *control) Write(p []byte) (int, error) {
	c.out.Lock()
	defer c.out.Unlock()
	// gRPC may still hold the message when Send returns, and the chain may use p again.
	if err := c.stream.Send(&agentv1.ReceiveReply{Kind: &agentv1.ReceiveReply_Control{Control: slices.Clone(p)}}); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *control) Close() error { return c.in.Close() }
