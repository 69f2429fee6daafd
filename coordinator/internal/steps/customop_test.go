package steps

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/prototext"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/customops"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// shell is an agent that notes what it is to run, and a broadcaster that notes what it is to send.
type shell struct {
	agentv1.AgentClient
	mu     sync.Mutex
	asked  []string
	status int32
	fails  string // node that receives nothing
}

type ending struct {
	grpc.ServerStreamingClient[agentv1.RunReply]
	replies stream
}

func (e *ending) Recv() (*agentv1.RunReply, error) { return e.replies.Recv() }

func (s *shell) Run(_ context.Context, r *agentv1.RunRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[agentv1.RunReply], error) {
	what := r.GetCommand()
	if r.Path != "" {
		what = r.Path + " " + r.Arguments
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprintf("run %s; KADEPLOY_ENV_EXTRACTION_DIR=%s", what, r.Environment["KADEPLOY_ENV_EXTRACTION_DIR"]))
	exit := &agentv1.RunReply{Kind: &agentv1.RunReply_Exit{Exit: &agentv1.Exit{Status: s.status}}}
	return &ending{replies: stream{exit}}, nil
}

func (s *shell) Broadcast(_ context.Context, t Transfer) (*Delivery, error) {
	sink := t.Open.GetFile()
	s.asked = append(s.asked, fmt.Sprintf("send %s to %s, mode %o", t.File.Path, sink.GetPath(), sink.GetMode()))
	d := &Delivery{Nodes: map[string]error{}}
	for _, r := range t.Nodes {
		if r.Node == s.fails {
			d.Nodes[r.Node] = fmt.Errorf("no space left on device")
		}
	}
	if sink == nil {
		return nil, fmt.Errorf("not a file: %s", prototext.Format(t.Open))
	}
	return d, nil
}

func operation(t *testing.T, s *shell, op customops.Op) map[string]string {
	t.Helper()
	n := nodes{Config{Agents: crew{s}, Broadcaster: s, ExtractionDir: "/mnt/dest", ArchiveDir: "/rambin", TmpDir: "/tmp"}}
	tk := task("/dev/vda", workflow.Request{ID: "D-1", OpFiles: map[string]workflow.File{"user /home/a/f.sh": {Path: "/cache/1"}}})
	tk.Cluster.Nodes = []cluster.Node{{Name: "a", Address: netip.MustParseAddr("10.0.0.1")}, {Name: "b", Address: netip.MustParseAddr("10.0.0.2")}}
	tk.Nodes, tk.Op, tk.Micro = []string{"a", "b"}, &op, "send_key-it is"
	ended := make(map[string]string)
	var mu sync.Mutex
	customOperation{n}.Run(t.Context(), tk, func(node string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if _, twice := ended[node]; twice {
			t.Errorf("%s is reported twice", node)
		}
		ended[node] = fmt.Sprint(err)
	})
	return ended
}

func TestOperationsAreDoneByTheAgents(t *testing.T) {
	const both = "; KADEPLOY_ENV_EXTRACTION_DIR=/mnt/dest"
	for _, c := range []struct {
		name  string
		op    customops.Op
		shell *shell
		asked []string
		ended map[string]string
	}{
		{"exec", customops.Op{Name: "x", Action: customops.Exec, Command: "echo $KADEPLOY_ENV > /x"}, &shell{},
			[]string{"run echo $KADEPLOY_ENV > /x" + both, "run echo $KADEPLOY_ENV > /x" + both}, map[string]string{"a": "<nil>", "b": "<nil>"}},
		{"exec fails", customops.Op{Name: "x", Action: customops.Exec, Command: "false"}, &shell{status: 1},
			[]string{"run false" + both, "run false" + both}, map[string]string{"a": "x: exit status 1", "b": "x: exit status 1"}},
		{"send", customops.Op{Name: "x", Action: customops.Send, File: "/home/a/f.sh", Destination: "$KADEPLOY_ENV_EXTRACTION_DIR/root"}, &shell{},
			[]string{"send /cache/1 to /mnt/dest/root/f.sh, mode 644"}, map[string]string{"a": "<nil>", "b": "<nil>"}},
		{"run", customops.Op{Name: "x", Action: customops.Run, File: "/home/a/f.sh", Params: "-v 1"}, &shell{fails: "b"},
			[]string{"send /cache/1 to /tmp/kadeploy-D-1-send_key-it_is-f.sh, mode 755", "run /tmp/kadeploy-D-1-send_key-it_is-f.sh -v 1" + both},
			map[string]string{"a": "<nil>", "b": "no space left on device"}},
		{"not fetched", customops.Op{Name: "x", Action: customops.Run, File: "/other", Site: true}, &shell{}, nil,
			map[string]string{"a": "operation x: its file /other was not fetched", "b": "operation x: its file /other was not fetched"}},
	} {
		ended := operation(t, c.shell, c.op)
		if diff := cmp.Diff(c.asked, c.shell.asked); diff != "" {
			t.Errorf("%s: asked of the agents: %s", c.name, diff)
		}
		if diff := cmp.Diff(c.ended, ended); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}
