package service

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	agentv1 "kadeploy/proto/agent/v1"
)

// client calls a service over a connection in memory.
func client(t *testing.T, cfg Config) agentv1.AgentClient {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	agentv1.RegisterAgentServer(server, New(cfg))
	go server.Serve(l)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///agent", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return l.Dial() }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return agentv1.NewAgentClient(conn)
}

// ran is what a call of Run gave.
type ran struct {
	stdout, stderr string
	exit           *agentv1.Exit
	err            error
}

func run(t *testing.T, agent agentv1.AgentClient, request *agentv1.RunRequest) (r ran) {
	t.Helper()
	stream, err := agent.Run(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	for {
		reply, err := stream.Recv()
		if err != nil {
			if err != io.EOF {
				r.err = err
			}
			return r
		}
		r.stdout += string(reply.GetStdout())
		r.stderr += string(reply.GetStderr())
		if exit := reply.GetExit(); exit != nil {
			r.exit = exit
		}
	}
}

func TestRun(t *testing.T) {
	agent := client(t, Config{TempDir: t.TempDir()})
	command := func(line string) *agentv1.RunRequest {
		return &agentv1.RunRequest{What: &agentv1.RunRequest_Command{Command: line}, Environment: map[string]string{"KADEPLOY_X": "a b"}}
	}
	r := run(t, agent, command(`echo "$KADEPLOY_X"; echo why >&2; exit 3`))
	if r.stdout != "a b\n" || r.stderr != "why\n" || r.exit.GetStatus() != 3 || r.err != nil {
		t.Errorf("a command that fails: %+v", r)
	}
	r = run(t, agent, command("kill -9 $$"))
	if r.exit.GetSignal() != "SIGKILL" {
		t.Errorf("a command that is killed: %+v", r)
	}
	script := &agentv1.RunRequest{What: &agentv1.RunRequest_Script{Script: []byte("#!/bin/sh\nprintf '<%s>' \"$@\"\n")}, Arguments: "--net a,b 'c d'"}
	if r = run(t, agent, script); r.stdout != "<--net><a,b><c d>" || r.exit.GetStatus() != 0 {
		t.Errorf("a script with arguments: %+v", r)
	}
	if r = run(t, agent, &agentv1.RunRequest{Path: "/none"}); status.Code(r.err) != codes.FailedPrecondition {
		t.Errorf("a program that is not there: %+v", r)
	}
	if r = run(t, agent, &agentv1.RunRequest{}); status.Code(r.err) != codes.InvalidArgument {
		t.Errorf("nothing to run: %+v", r)
	}
}

// What a command printed before its time was over is told with its end.
func TestRunIsLimited(t *testing.T) {
	agent := client(t, Config{})
	begin := time.Now()
	r := run(t, agent, &agentv1.RunRequest{What: &agentv1.RunRequest_Command{Command: "echo so far; sleep 60"}, TimeoutMs: 300})
	if status.Code(r.err) != codes.Aborted || !strings.Contains(r.err.Error(), "time limit of 300ms") || !strings.Contains(r.err.Error(), "so far") || r.stdout != "so far\n" {
		t.Errorf("%+v", r)
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestPutFile(t *testing.T) {
	agent := client(t, Config{})
	path := filepath.Join(t.TempDir(), "new", "file")
	put := func(path string, parts ...string) (*agentv1.PutFileReply, error) {
		stream, err := agent.PutFile(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stream.Send(&agentv1.PutFileRequest{Kind: &agentv1.PutFileRequest_Open{Open: &agentv1.PutFileOpen{Path: path, Mode: 0o750}}})
		for _, p := range parts {
			stream.Send(&agentv1.PutFileRequest{Kind: &agentv1.PutFileRequest_Data{Data: []byte(p)}})
		}
		return stream.CloseAndRecv()
	}
	if reply, err := put(path, "one ", "two"); err != nil || reply.SizeBytes != 7 {
		t.Fatalf("%v, %v", reply, err)
	}
	text, err := os.ReadFile(path)
	info, _ := os.Stat(path)
	if err != nil || string(text) != "one two" || info.Mode().Perm() != 0o750 {
		t.Errorf("%q, %v, %v", text, info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".put-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := put("relative", "x"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a relative path: %v", err)
	}
}
