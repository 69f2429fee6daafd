package broadcast

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	agentv1 "kadeploy/proto/agent/v1"
)

// call is a call of Receive that nobody answers.
type call struct {
	grpc.ClientStream
	ctx context.Context

	mu           sync.Mutex
	sent, closed int
	late         bool          // something was sent after CloseSend, which ends a call of gRPC's
	hold         chan struct{} // Send waits for it
}

func (c *call) Send(*agentv1.ReceiveRequest) error {
	if c.hold != nil {
		select {
		case <-c.hold:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent++
	c.late = c.late || c.closed > 0
	return nil
}

func (c *call) CloseSend() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	return nil
}

func (c *call) Recv() (*agentv1.ReceiveReply, error) {
	<-c.ctx.Done()
	return nil, c.ctx.Err()
}

func linkTo(t *testing.T, c *call) *link {
	ctx, cancel := context.WithCancel(t.Context())
	c.ctx = ctx
	in, out := io.Pipe()
	l := &link{target: Target{Node: "n"}, call: c, cancel: cancel, in: in, ended: make(chan struct{})}
	go l.pump(out)
	t.Cleanup(func() { cancel(); <-l.ended })
	return l
}

// TestWriteAfterClose: the chain's last message and its end may cross. What comes late is
// not sent: it would fail a node that has received everything.
func TestWriteAfterClose(t *testing.T) {
	c := &call{}
	l := linkTo(t, c)
	if _, err := l.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Write([]byte("b")); !errors.Is(err, io.ErrClosedPipe) || c.sent != 1 || c.late {
		t.Errorf("Write after Close = %v, %d sent, late %v", err, c.sent, c.late)
	}
}

// TestCloseBesideWrite: a link that is closed while something is just being written goes
// on to its end; one whose node does not read is ended.
func TestCloseBesideWrite(t *testing.T) {
	for _, reads := range []bool{true, false} {
		c := &call{hold: make(chan struct{})}
		l := linkTo(t, c)
		written := make(chan error, 1)
		go func() { _, err := l.Write([]byte("a")); written <- err }()
		for l.out.TryLock() { // until the Write has it
			l.out.Unlock()
			time.Sleep(time.Millisecond)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if reads {
			close(c.hold)
		}
		if err := <-written; (err == nil) != reads {
			t.Errorf("the node reads: %v; Write = %v", reads, err)
		}
		if ended := c.ctx.Err() != nil; ended == reads {
			t.Errorf("the node reads: %v; the call was ended: %v", reads, ended)
		}
	}
}
