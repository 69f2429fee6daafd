package service

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kadeploy/agent/internal/script"
	"kadeploy/agent/internal/session"
	agentv1 "kadeploy/proto/agent/v1"
)

// Bounds of what is kept of programs that may outlive their calls.
const (
	runKept   = 30 * time.Minute // after the end
	runOutput = 20_000           // bytes of each output
)

// runs are the programs that were started under a name.
type runs struct {
	mu  sync.Mutex
	all map[string]*namedRun
}

// namedRun is one of them.
type namedRun struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended, with err
	err    error

	mu             sync.Mutex
	stdout, stderr []byte   // the ends of what it printed
	to             *replies // the call that is told; nil: none
}

// attached finds the run of a name, or starts it.
func (s *Service) attached(r *agentv1.RunRequest) (*namedRun, error) {
	s.runs.mu.Lock()
	defer s.runs.mu.Unlock()
	if known := s.runs.all[r.Once]; known != nil {
		return known, nil
	}
	if r.Attach {
		return nil, status.Errorf(codes.NotFound, "%s was not started since the agent was", r.Once)
	}
	ctx, cancel := context.WithCancel(context.Background())
	one := &namedRun{cancel: cancel, done: make(chan struct{})}
	if s.runs.all == nil {
		s.runs.all = make(map[string]*namedRun)
	}
	s.runs.all[r.Once] = one
	program := s.program(r)
	program.Stdout, program.Stderr = kept{one, &one.stdout, stdout}, kept{one, &one.stderr, stderr}
	go func() {
		defer cancel()
		one.err = program.Run(ctx)
		close(one.done)
		time.AfterFunc(runKept, func() {
			s.runs.mu.Lock()
			defer s.runs.mu.Unlock()
			delete(s.runs.all, r.Once)
		})
	}()
	return one, nil
}

// runOnce is Run for a program with a name.
func (s *Service) runOnce(r *agentv1.RunRequest, stream agentv1.Agent_RunServer) error {
	one, err := s.attached(r)
	if err != nil {
		return err
	}
	out := &replies{stream: stream}
	if err := one.tell(out); err != nil {
		return err
	}
	ctx := stream.Context()
	select {
	case <-one.done:
		return out.exit(one.err)
	case <-ctx.Done():
	}
	one.tell(nil)
	if !session.Lost(ctx) {
		one.cancel()
		<-one.done
	}
	return ctx.Err()
}

// tell has a call hear what was printed, and what will be.
func (r *namedRun) tell(to *replies) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
	if to == nil {
		return nil
	}
	for _, past := range []*agentv1.RunReply{stdout(r.stdout), stderr(r.stderr)} {
		if len(past.GetStdout())+len(past.GetStderr()) > 0 {
			if err := to.send(past); err != nil {
				return err
			}
		}
	}
	return nil
}

// kept is one of the outputs of a run.
type kept struct {
	run  *namedRun
	end  *[]byte
	wrap func([]byte) *agentv1.RunReply
}

func (k kept) Write(b []byte) (int, error) {
	k.run.mu.Lock()
	defer k.run.mu.Unlock()
	*k.end = append(*k.end, b...)
	if excess := len(*k.end) - runOutput; excess > 0 {
		*k.end = append((*k.end)[:0], (*k.end)[excess:]...)
	}
	if k.run.to != nil && k.run.to.send(k.wrap(b)) != nil {
		k.run.to = nil // the call is over; the program is not
	}
	return len(b), nil
}

func stdout(b []byte) *agentv1.RunReply {
	return &agentv1.RunReply{Kind: &agentv1.RunReply_Stdout{Stdout: slices.Clone(b)}}
}

func stderr(b []byte) *agentv1.RunReply {
	return &agentv1.RunReply{Kind: &agentv1.RunReply_Stderr{Stderr: slices.Clone(b)}}
}

// program is what a request wants to be run.
func (s *Service) program(r *agentv1.RunRequest) script.Script {
	return script.Script{
		Content: r.GetScript(), Line: r.GetCommand(), Path: r.Path, Arguments: r.Arguments,
		Variables: r.Environment, Directory: r.Directory, TempDir: s.cfg.TempDir,
		Timeout: time.Duration(r.TimeoutMs) * time.Millisecond,
	}
}
