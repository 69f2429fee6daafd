package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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
// is an error that ends with what the command printed last. The node runs it once in
// a task: if the coordinator dies meanwhile, the next one hears how it ends.
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
		if t.ID != "" {
			request.Once = t.ID + "/" + what
		}
		return agent.Run(ctx, request)
	})
}

// rerun is run for what needs files that were sent in the same task: if the task is
// done again, a program that was started is not, and known is true.
func (n nodes) rerun(ctx context.Context, t *workflow.Task, node, what string) (known bool, err error) {
	if !t.Again || !n.resident(node) {
		return false, nil
	}
	agent, err := n.session(ctx, node)
	if err != nil {
		return false, err
	}
	stream, err := agent.Run(ctx, &agentv1.RunRequest{Once: t.ID + "/" + what, Attach: true})
	if err != nil {
		return false, plain(err)
	}
	first := &replayed{stream: stream}
	if first.reply, first.err = stream.Recv(); status.Code(first.err) == codes.NotFound || status.Code(first.err) == codes.InvalidArgument {
		return false, nil // InvalidArgument: an older agent, which found nothing to run
	}
	return true, n.output(t, node, what, func() (runStream, error) { return first, nil })
}

// replayed is a stream of which the first answer was looked at.
type replayed struct {
	stream runStream
	reply  *agentv1.RunReply
	err    error
	read   bool
}

func (r *replayed) Recv() (*agentv1.RunReply, error) {
	if !r.read {
		r.read = true
		return r.reply, r.err
	}
	return r.stream.Recv()
}

// began does again what of a task ran on its nodes when the coordinator died: a
// program that was started there under a name is waited for, not started again. It
// reports those nodes that had it, and returns the others.
func (n nodes) began(ctx context.Context, t *workflow.Task, what string, report func(node string, err error)) []string {
	if !t.Again {
		return t.Nodes
	}
	var mu sync.Mutex
	had := make(map[string]bool)
	var wg sync.WaitGroup
	for _, node := range t.Nodes {
		wg.Go(func() {
			known, err := n.rerun(ctx, t, node, what)
			if known || err != nil {
				mu.Lock()
				had[node] = true
				mu.Unlock()
				report(node, err)
			}
		})
	}
	wg.Wait()
	return slices.DeleteFunc(slices.Clone(t.Nodes), func(node string) bool { return had[node] })
}

// settle gives the agents of nodes time to dial, when the coordinator has just come
// back: who has none is reached otherwise.
func (n nodes) settle(ctx context.Context, t *workflow.Task) {
	if !t.Again {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var wg sync.WaitGroup
	for _, node := range t.Nodes {
		wg.Go(func() { n.Agents.Session(ctx, node, "") })
	}
	wg.Wait()
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
