package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// redial is how long an agent that was restarted may take to come back.
const redial = 20 * time.Second

// call asks something of a node's agent. If the session breaks meanwhile, as it
// does when the agent is restarted, it asks once more: what is asked through
// call can be done twice. The error's text is the node's own.
func (n nodes) call(ctx context.Context, node string, do func(ctx context.Context, agent agentv1.AgentClient) error) error {
	for attempt := 0; ; attempt++ {
		agent, err := n.session(ctx, node)
		if err != nil {
			return err
		}
		err = do(ctx, agent)
		if status.Code(err) == codes.Unavailable && attempt == 0 && ctx.Err() == nil {
			continue
		}
		return plain(err)
	}
}

func (n nodes) session(ctx context.Context, node string) (agentv1.AgentClient, error) {
	ctx, cancel := context.WithTimeout(ctx, redial)
	defer cancel()
	agent, _, err := n.Agents.Session(ctx, node, "")
	if err != nil {
		return nil, fmt.Errorf("%w; see the end of the node's console", err)
	}
	return agent, nil
}

// plain drops what gRPC puts around a message.
func plain(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	switch s.Code() {
	case codes.Unavailable:
		return fmt.Errorf("lost the agent of the node: %s", s.Message())
	case codes.DeadlineExceeded:
		return errors.New("the node did not answer in time")
	case codes.Canceled:
		return context.Canceled
	}
	return errors.New(s.Message())
}

// run has a node run a script or command and waits for its end. A non-zero exit
// is an error that ends with what the command printed last.
func (n nodes) run(ctx context.Context, t *workflow.Task, node, what string, request *agentv1.RunRequest) error {
	return n.output(t, node, what, func() (runStream, error) {
		agent, err := n.session(ctx, node)
		if err != nil {
			return nil, err
		}
		if err := locate(ctx, t, agent, request.Environment); err != nil {
			return nil, err
		}
		if request.TimeoutMs == 0 {
			request.TimeoutMs = ownLimit(ctx)
		}
		return agent.Run(ctx, request)
	})
}

// ownLimit is the time that a command on a node gets, in milliseconds; 0 is none.
// It ends a little before the call does, so that the node can still say what was
// printed last.
func ownLimit(ctx context.Context) uint64 {
	const margin = 2 * time.Second
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	left := time.Until(deadline)
	return uint64(max(left-margin, left*9/10, time.Millisecond).Milliseconds())
}

// runStream is a stream of RunReply; both Run and InstallBootloader give one.
type runStream interface {
	Recv() (*agentv1.RunReply, error)
}

// output follows a stream to its end, and keeps what it carried for the debug view.
func (n nodes) output(t *workflow.Task, node, what string, open func() (runStream, error)) error {
	stream, err := open()
	if err != nil {
		return plain(err)
	}
	var stdout, stderr tail
	looking := showWhileRunning(t, node, what, &stdout, &stderr)
	exit, err := follow(stream, &stdout, &stderr)
	looking()
	code := -1
	if exit != nil {
		code = int(exit.Status)
	}
	if t.Output != nil {
		t.Output(node, what, stdout.take(), stderr.take(), code)
	}
	switch {
	case err != nil && exit == nil:
		return plain(err)
	case exit == nil:
		return fmt.Errorf("%s: the node ended it without a result", what)
	case exit.Signal != "":
		return fmt.Errorf("%s: killed by %s%s", what, exit.Signal, last(&stdout, &stderr))
	case exit.Status != 0:
		return fmt.Errorf("%s: exit status %d%s", what, exit.Status, last(&stdout, &stderr))
	}
	return nil
}

// showEvery is how often the output of a command that still runs is shown.
const showEvery = 3 * time.Second

// showWhileRunning shows what a command prints while it runs, until stop is called.
func showWhileRunning(t *workflow.Task, node, what string, stdout, stderr *tail) (stop func()) {
	if t.Printed == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(showEvery)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				return
			case <-ticker.C:
				if out, err := stdout.take(), stderr.take(); out != "" || err != "" {
					t.Printed(node, what, out, err)
				}
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

func follow(stream runStream, stdout, stderr *tail) (exit *agentv1.Exit, err error) {
	for {
		reply, err := stream.Recv()
		if err != nil {
			return exit, ended(err)
		}
		switch kind := reply.Kind.(type) {
		case *agentv1.RunReply_Stdout:
			stdout.Write(kind.Stdout)
		case *agentv1.RunReply_Stderr:
			stderr.Write(kind.Stderr)
		case *agentv1.RunReply_Exit:
			exit = kind.Exit
		}
	}
}
