package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// scripted is an agent whose Mount answers with the next of errs.
type scripted struct {
	agentv1.AgentClient
	errs  []error
	calls int
}

func (s *scripted) Mount(context.Context, *agentv1.MountRequest, ...grpc.CallOption) (*agentv1.MountReply, error) {
	err := s.errs[min(s.calls, len(s.errs)-1)]
	s.calls++
	return &agentv1.MountReply{}, err
}

// crew has the same agent for every node but "dead".
type crew struct{ agent agentv1.AgentClient }

func (c crew) Session(_ context.Context, node, _ string) (agentv1.AgentClient, string, error) {
	if node == "dead" {
		return nil, "", fmt.Errorf("the agent of %s has not dialled", node)
	}
	return c.agent, "boot", nil
}

func (c crew) BootID(string) string { return "boot" }
func (c crew) Dismiss(string)       {}

func TestCallAsksAgainOnceWhenTheAgentWasRestarted(t *testing.T) {
	gone := status.Error(codes.Unavailable, "session shutdown")
	for _, c := range []struct {
		name  string
		errs  []error
		calls int
		want  string
	}{
		{"ok", []error{nil}, 1, ""},
		{"restarted", []error{gone, nil}, 2, ""},
		{"restarted twice", []error{gone}, 2, "lost the agent of the node: session shutdown"},
		{"refused", []error{status.Error(codes.Aborted, "mkfs.ext4 /dev/vda3: exit status 1")}, 1, "mkfs.ext4 /dev/vda3: exit status 1"},
		{"late", []error{status.Error(codes.DeadlineExceeded, "x")}, 1, "the node did not answer in time"},
	} {
		agent := &scripted{errs: c.errs}
		n := nodes{Config{Agents: crew{agent}, ExtractionDir: "/mnt/dest"}}
		tk := task("/dev/vda", workflow.Request{})
		got := n.call(t.Context(), "n1", func(ctx context.Context, agent agentv1.AgentClient) error {
			_, err := agent.Mount(ctx, &agentv1.MountRequest{Target: deployTarget(tk)})
			return err
		})
		if text := fmt.Sprint(got); agent.calls != c.calls || (got == nil) != (c.want == "") || got != nil && text != c.want {
			t.Errorf("%s: %d calls, error %q; want %d and %q", c.name, agent.calls, text, c.calls, c.want)
		}
	}
}

func TestSingleReportsEveryNodeOnce(t *testing.T) {
	n := nodes{Config{Agents: crew{&scripted{}}}}
	tk := task("/dev/vda", workflow.Request{})
	tk.Nodes = []string{"a", "dead", "b"}
	failed := errors.New("no")
	reported := map[string]int{}
	ok := n.collect(tk.Nodes, func(node string, err error) {
		if err == nil {
			t.Errorf("success of %s was passed on", node)
		}
		reported[node]++
	}, func(report func(string, error)) {
		for _, node := range tk.Nodes {
			if node == "dead" {
				report(node, failed)
				continue
			}
			report(node, nil)
		}
	})
	if diff := cmp.Diff([]string{"a", "b"}, ok); diff != "" || reported["dead"] != 1 || len(reported) != 1 {
		t.Errorf("collect = %v, reported %v", ok, reported)
	}
}

// stream is a scripted RunReply stream.
type stream []*agentv1.RunReply

func (s *stream) Recv() (*agentv1.RunReply, error) {
	if len(*s) == 0 {
		return nil, status.Error(codes.Unavailable, "gone")
	}
	r := (*s)[0]
	*s = (*s)[1:]
	return r, nil
}

func TestOutputSaysHowACommandEnded(t *testing.T) {
	text := func(s string) *agentv1.RunReply {
		return &agentv1.RunReply{Kind: &agentv1.RunReply_Stderr{Stderr: []byte(s)}}
	}
	exit := func(status int32, signal string) *agentv1.RunReply {
		return &agentv1.RunReply{Kind: &agentv1.RunReply_Exit{Exit: &agentv1.Exit{Status: status, Signal: signal}}}
	}
	for _, c := range []struct {
		name   string
		stream stream
		want   string
	}{
		{"fails", stream{text("one\ntwo\nthree\nfour\nfive\nsix\n"), exit(3, "")}, "exit status 3: two | three | four | five | six"},
		{"killed", stream{exit(0, "SIGKILL")}, "killed by SIGKILL"},
		{"lost", stream{text("half")}, "lost the agent of the node: gone"},
	} {
		var debug []string
		tk := &workflow.Task{Output: func(node, command, stdout, stderr string, status int) {
			debug = append(debug, fmt.Sprint(node, command, stdout, stderr, status))
		}}
		err := nodes{}.output(tk, "n1", "script", func() (runStream, error) { return &c.stream, nil })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if len(debug) != 1 {
			t.Errorf("%s: %d entries in the debug view", c.name, len(debug))
		}
	}
}
