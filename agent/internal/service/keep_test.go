package service

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"kadeploy/agent/internal/session"
	"kadeploy/kascade"
	agentv1 "kadeploy/proto/agent/v1"
)

// line is one session of an agent with a coordinator.
type line struct {
	agentv1.AgentClient
	lost atomic.Bool
	slow time.Duration // that its calls take to hear of the loss
	end  func()        // as when the coordinator is killed
}

type lossy struct {
	grpc.ServerStream
	ctx context.Context
}

func (l lossy) Context() context.Context { return l.ctx }

func connect(t *testing.T, agent agentv1.AgentServer) *line {
	t.Helper()
	l := &line{}
	server := grpc.NewServer(grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		return handle(srv, lossy{stream, session.WithLoss(stream.Context(), func() bool {
			time.Sleep(l.slow)
			return l.lost.Load()
		})})
	}))
	agentv1.RegisterAgentServer(server, agent)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	client, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	l.AgentClient = agentv1.NewAgentClient(client)
	l.end = func() {
		l.lost.Store(true)
		client.Close()
		server.Stop() // does not wait for the calls
	}
	t.Cleanup(l.end)
	return l
}

// wire makes a call of Receive the control link of a chain.
type wire struct {
	call agentv1.Agent_ReceiveClient
	in   *io.PipeReader
	done chan error
}

func receive(ctx context.Context, agent agentv1.AgentClient, open *agentv1.ReceiveOpen) (*wire, error) {
	call, err := agent.Receive(ctx)
	if err == nil {
		err = call.Send(&agentv1.ReceiveRequest{Kind: &agentv1.ReceiveRequest_Open{Open: open}})
	}
	r, w := io.Pipe()
	l := &wire{call, r, make(chan error, 1)}
	go func() {
		for {
			reply, err := call.Recv()
			if err != nil {
				w.CloseWithError(err)
				l.done <- err
				return
			}
			w.Write(reply.GetControl())
		}
	}()
	return l, err
}

func (l *wire) Read(p []byte) (int, error) { return l.in.Read(p) }
func (l *wire) Write(p []byte) (int, error) {
	return len(p), l.call.Send(&agentv1.ReceiveRequest{Kind: &agentv1.ReceiveRequest_Control{Control: slices.Clone(p)}})
}
func (l *wire) Close() error { l.in.Close(); return l.call.CloseSend() }

// source is an image that stops coming at a byte, until it is let go.
type source struct {
	*bytes.Reader
	stop int64
	free chan struct{}
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > s.stop {
		<-s.free
	}
	return s.Reader.ReadAt(p, off)
}

const (
	imageSize = 12 << 20
	chunk     = 256 << 10
)

// transfer sends an image to one agent. cut, if it is not nil, is called when the
// image has come so far.
func transfer(t *testing.T, l *line, image []byte, open *agentv1.ReceiveOpen, stop int64, cut func(cancel func())) *kascade.Result {
	t.Helper()
	manifest, err := kascade.NewManifest(bytes.NewReader(image), chunk)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	open.Advertise = "127.0.0.1"
	w, err := receive(ctx, l, open)
	if err != nil {
		t.Fatal(err)
	}
	src := &source{bytes.NewReader(image), stop, make(chan struct{})}
	if cut == nil {
		close(src.free)
	}
	var once atomic.Bool
	result, err := kascade.Broadcast(ctx, src, manifest, []kascade.Peer{{Name: "n1", Host: "127.0.0.1", Control: w}}, kascade.HeadOptions{
		Report: 5 * time.Millisecond,
		Progress: func(p kascade.Progress) {
			if cut != nil && p.Nodes[0].Consumed >= stop-2*chunk && once.CompareAndSwap(false, true) {
				go func() { cut(cancel); close(src.free) }()
			}
		},
	})
	if err != nil && cut == nil {
		t.Fatal(err)
	}
	select {
	case err := <-w.done:
		if cut == nil && !errors.Is(err, io.EOF) {
			t.Errorf("the call ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the call does not end")
	}
	return result
}

func randomImage(t *testing.T) []byte {
	t.Helper()
	image := make([]byte, imageSize)
	if _, err := rand.Read(image); err != nil {
		t.Fatal(err)
	}
	return image
}

// The coordinator dies in the middle; the next one goes on from the verified bytes.
func TestReceiveGoesOn(t *testing.T) {
	const half = imageSize / 2
	for _, c := range []struct {
		name   string
		id     string // of the second transfer
		before func(t *testing.T, l *line)
		all    bool // the head sends everything again
		slow   time.Duration
	}{
		{"the same transfer", "T-1", nil, false, 0},
		{"the same, while the first call is still ending", "T-1", nil, false, 500 * time.Millisecond},
		{"another one", "T-2", nil, true, 0},
		{"something else was done to the disks between", "T-1", func(t *testing.T, l *line) {
			l.Unmount(t.Context(), &agentv1.UnmountRequest{MountPoint: t.TempDir()}) // nothing is mounted there
		}, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			agent, image := New(Config{}), randomImage(t)
			disk := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(disk, make([]byte, imageSize), 0o600); err != nil {
				t.Fatal(err)
			}
			open := func(id string) *agentv1.ReceiveOpen {
				return &agentv1.ReceiveOpen{Name: "image", TransferId: id, Sink: &agentv1.ReceiveOpen_File{
					File: &agentv1.FileSink{Path: disk, Mode: 0o600},
				}}
			}
			first := connect(t, agent)
			first.slow = c.slow
			transfer(t, first, image, open("T-1"), half, func(func()) { first.end() })
			second := connect(t, agent)
			if c.before != nil {
				c.before(t, second)
			}
			result := transfer(t, second, image, open(c.id), imageSize, nil)
			if err := result.Nodes["n1"]; err != nil {
				t.Fatal(err)
			}
			if most := int64(imageSize - half + 3*chunk); c.all != (result.Sent == imageSize) || !c.all && result.Sent > most {
				t.Errorf("the head sent %d bytes again, want %d at most", result.Sent, most)
			}
			if got, err := os.ReadFile(disk); err != nil || !bytes.Equal(got, image) {
				t.Errorf("the file differs, %v", err)
			}
			left, err := filepath.Glob(filepath.Join(filepath.Dir(disk), ".kadeploy-*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// A transfer that is given up, while the session stands, leaves nothing.
func TestReceiveGivenUp(t *testing.T) {
	agent, image := New(Config{}), randomImage(t)
	file := filepath.Join(t.TempDir(), "file")
	open := &agentv1.ReceiveOpen{Name: "image", TransferId: "T-1", Sink: &agentv1.ReceiveOpen_File{File: &agentv1.FileSink{Path: file, Mode: 0o600}}}
	l := connect(t, agent)
	transfer(t, l, image, open, imageSize/2, func(cancel func()) { cancel() })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left, err := os.ReadDir(filepath.Dir(file))
		if err == nil && len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("left behind: %v, %v", left, err)
		}
	}
	if k := agent.(*Service).kept.take("T-1"); k != nil {
		t.Error("the transfer was kept")
	}
}

// results reads a stream of Run to its end.
func results(stream agentv1.Agent_RunClient) (stdout string, exit *agentv1.Exit, err error) {
	for {
		reply, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return stdout, exit, err
		}
		stdout += string(reply.GetStdout())
		if reply.GetExit() != nil {
			exit = reply.GetExit()
		}
	}
}

// A program with a name runs once, whatever becomes of the session, and its result
// can be asked for again.
func TestRunOnce(t *testing.T) {
	agent := New(Config{TempDir: t.TempDir()})
	dir := t.TempDir()
	request := &agentv1.RunRequest{
		Once: "T-1", Directory: dir,
		What: &agentv1.RunRequest_Command{Command: "echo begin; echo x >>count; until [ -e go ]; do sleep 0.05; done; echo end; exit 7"},
	}
	first := connect(t, agent)
	stream, err := first.Run(t.Context(), &agentv1.RunRequest{Once: "T-1", Attach: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := results(stream); status.Code(err) != codes.NotFound {
		t.Fatalf("attached to nothing: %v", err)
	}
	if stream, err = first.Run(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil { // it has begun
		t.Fatal(err)
	}
	first.end()
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		next := connect(t, agent)
		if stream, err = next.Run(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		stdout, exit, err := results(stream)
		if err != nil || stdout != "begin\nend\n" || exit.GetStatus() != 7 {
			t.Errorf("result %q, %v, %v", stdout, exit, err)
		}
		next.end()
	}
	if count, err := os.ReadFile(filepath.Join(dir, "count")); err != nil || strings.Count(string(count), "x") != 1 {
		t.Errorf("it ran %q, %v", count, err)
	}
}

// A program whose call is given up ends.
func TestRunOnceGivenUp(t *testing.T) {
	agent := New(Config{TempDir: t.TempDir()})
	l := connect(t, agent)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := l.Run(ctx, &agentv1.RunRequest{Once: "T-1", What: &agentv1.RunRequest_Command{Command: "echo begin; exec sleep 60"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	s := agent.(*Service)
	s.runs.mu.Lock()
	one := s.runs.all["T-1"]
	s.runs.mu.Unlock()
	select {
	case <-one.done:
	case <-time.After(10 * time.Second):
		t.Fatal("it still runs")
	}
}
