package service

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"

	"kadeploy/agent/internal/command"
	"kadeploy/agent/internal/fault"
	agentv1 "kadeploy/proto/agent/v1"
)

// replies is a stream of RunReply; both outputs of a program go to it at once.
type replies struct {
	mu     sync.Mutex
	stream grpc.ServerStreamingServer[agentv1.RunReply]
}

func (r *replies) send(reply *agentv1.RunReply) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stream.Send(reply)
}

// printed is one of the outputs of a program.
type printed struct {
	to   *replies
	wrap func([]byte) *agentv1.RunReply
}

func (p printed) Write(b []byte) (int, error) {
	if err := p.to.send(p.wrap(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (r *replies) stdout() io.Writer {
	return printed{r, stdout}
}

func (r *replies) stderr() io.Writer {
	return printed{r, stderr}
}

// exit ends the stream with how a program ended.
func (r *replies) exit(err error) error {
	exit := &agentv1.Exit{}
	var failed *command.ExitError
	switch {
	case errors.As(err, &failed) && failed.Cause != "":
		return statusOf(err) // a time limit says more than the signal that ended it
	case errors.As(err, &failed):
		exit.Status, exit.Signal = int32(failed.Status), failed.Signal
	case err != nil:
		return statusOf(err)
	}
	return r.send(&agentv1.RunReply{Kind: &agentv1.RunReply_Exit{Exit: exit}})
}

// Run implements agentv1.AgentServer.
func (s *Service) Run(r *agentv1.RunRequest, stream agentv1.Agent_RunServer) error {
	if r.Once != "" {
		return s.runOnce(r, stream)
	}
	out := &replies{stream: stream}
	program := s.program(r)
	program.Stdout, program.Stderr = out.stdout(), out.stderr()
	return out.exit(program.Run(stream.Context()))
}

// maxPut bounds a file that is sent by PutFile; images come by Receive.
const maxPut = 1 << 30

// PutFile implements agentv1.AgentServer.
func (s *Service) PutFile(stream agentv1.Agent_PutFileServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	open := first.GetOpen()
	if open == nil || !filepath.IsAbs(open.Path) {
		return statusOf(fault.Invalidf("put a file: the first message is not an open with an absolute path"))
	}
	size, err := put(stream, open)
	if err != nil {
		return statusOf(err)
	}
	return stream.SendAndClose(&agentv1.PutFileReply{SizeBytes: size})
}

// put writes to another name first, so that the file is whole or not there.
func put(stream agentv1.Agent_PutFileServer, open *agentv1.PutFileOpen) (size uint64, err error) {
	if err := os.MkdirAll(filepath.Dir(open.Path), 0o755); err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(filepath.Dir(open.Path), ".put-*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		size += uint64(len(message.GetData()))
		if size > maxPut {
			return 0, fault.Invalidf("put %s: more than %d bytes", open.Path, maxPut)
		}
		if _, err := f.Write(message.GetData()); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(f.Chmod(fs.FileMode(open.Mode)&fs.ModePerm), f.Sync()); err != nil {
		return 0, err
	}
	if err := os.Rename(f.Name(), open.Path); err != nil {
		return 0, err
	}
	return size, f.Close()
}
