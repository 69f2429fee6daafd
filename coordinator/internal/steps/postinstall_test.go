package steps

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// bench is an agent and a broadcaster that note what they are asked to do.
type bench struct {
	agentv1.AgentClient
	mu    sync.Mutex
	asked []string
	fails string // script that exits with 1
}

func (b *bench) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, fmt.Sprintf(format, args...))
}

func (b *bench) Run(_ context.Context, r *agentv1.RunRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[agentv1.RunReply], error) {
	what := r.Path
	if what == "" {
		what = "command"
	}
	b.note("run %s [%s] in %s, KADEPLOY_X=%s, limited=%t", what, r.Arguments, r.Directory, r.Environment["KADEPLOY_X"], r.TimeoutMs > 0)
	exit := &agentv1.Exit{}
	if r.Path != "" && r.Path == b.fails {
		exit.Status = 1
	}
	return &ending{replies: stream{
		{Kind: &agentv1.RunReply_Stderr{Stderr: []byte("it said why\n")}}, {Kind: &agentv1.RunReply_Exit{Exit: exit}},
	}}, nil
}

func (b *bench) Broadcast(_ context.Context, t Transfer) (*Delivery, error) {
	b.note("send %s as %s, %s, to %s", t.File.Path, t.Open.Name, t.Open.GetTar().GetCompression(), t.Open.GetTar().GetRoot())
	return &Delivery{Nodes: map[string]error{}}, nil
}

func TestArchivesRunInTheirOrder(t *testing.T) {
	site := []cluster.Archive{{File: "/etc/a.tgz", Compression: "gzip", Script: "a.sh -v"}, {File: "/etc/b.txz", Compression: "xz", Script: "none"}}
	request := workflow.Request{
		Env: &env.Description{
			Image:        env.Image{Kind: "tar"},
			Postinstalls: []env.Archive{{Compression: "gzip", Script: `g5k --net a,b 'c d'`}, {Compression: "zstd", Script: " 'my post' x"}},
		},
		Variables: map[string]string{"X": "y"},
		Files: workflow.Files{
			Postinstalls: []workflow.File{{Path: "/c/1"}, {Path: "/c/2"}},
			Site:         map[string]workflow.File{"/etc/a.tgz": {Path: "/c/a"}, "/etc/b.txz": {Path: "/c/b"}},
		},
	}
	preinstall := request
	preinstall.Env = &env.Description{Image: env.Image{Kind: "tar"}, Preinstall: &env.Archive{Compression: "gzip", Script: "prepare"}}
	preinstall.Files.Preinstall = &workflow.File{Path: "/c/pre"}
	const in = " in /rambin, KADEPLOY_X=y, limited=true"
	for _, c := range []struct {
		name    string
		step    string
		request workflow.Request
		fails   string
		asked   []string
		ended   string
	}{
		{"site postinstalls", workflow.ManageAdminPost, request, "", []string{
			"send /c/a as site postinstall 1, gzip, to /rambin", "run /rambin/a.sh [-v]" + in, "send /c/b as site postinstall 2, xz, to /rambin",
		}, "<nil>"},
		{"user postinstalls", workflow.ManageUserPost, request, "", []string{
			"send /c/1 as postinstall 1, gzip, to /rambin", "run /rambin/g5k [--net a,b 'c d']" + in,
			"send /c/2 as postinstall 2, zstd, to /rambin", "run /rambin/my post [x]" + in,
		}, "<nil>"},
		{"the first fails", workflow.ManageUserPost, request, "/rambin/g5k", []string{
			"send /c/1 as postinstall 1, gzip, to /rambin", "run /rambin/g5k [--net a,b 'c d']" + in,
		}, "postinstall 1 (g5k): exit status 1: it said why"},
		{"site preinstalls", workflow.ManageAdminPreInstall, request, "", []string{
			"send /c/a as site preinstall 1, gzip, to /rambin", "run /rambin/a.sh [-v]" + in, "send /c/b as site preinstall 2, xz, to /rambin",
		}, "<nil>"},
		{"the description's preinstall instead", workflow.ManageAdminPreInstall, preinstall, "", []string{
			"send /c/pre as preinstall, gzip, to /rambin", "run /rambin/prepare []" + in, "run command [] in , KADEPLOY_X=y, limited=true",
		}, "<nil>"},
	} {
		b := &bench{fails: c.fails}
		tk := task("/dev/vda", c.request)
		tk.Cluster.Nodes = []cluster.Node{{Name: "a", Address: netip.MustParseAddr("10.0.0.1")}}
		tk.Cluster.Preinstalls, tk.Cluster.Postinstalls = site, site
		tk.Nodes = []string{"a"}
		ended := ""
		All(Config{Agents: crew{b}, Broadcaster: b, ExtractionDir: "/mnt/dest", ArchiveDir: "/rambin", TmpDir: "/tmp"})[c.step].Run(t.Context(), tk, func(node string, err error) {
			ended += fmt.Sprint(err)
		})
		if diff := cmp.Diff(c.asked, b.asked); diff != "" {
			t.Errorf("%s: asked of the node: %s", c.name, diff)
		}
		if ended != c.ended {
			t.Errorf("%s: ended with %q, want %q", c.name, ended, c.ended)
		}
	}
}

func TestScriptLine(t *testing.T) {
	for line, want := range map[string][2]string{
		"":                                    {"", ""},
		" none ":                              {"", ""},
		"g5k-postinstall --net debian,hpc":    {"g5k-postinstall", "--net debian,hpc"},
		"p\t--inittab='s0:12345:respawn:x y'": {"p", "--inittab='s0:12345:respawn:x y'"},
		`"two words" "a b"`:                   {"two words", `"a b"`},
		"'unclosed x":                         {"'unclosed", "x"},
		"'a'b c":                              {"'a'b", "c"},
	} {
		program, arguments := scriptLine(line)
		if got := [2]string{program, arguments}; got != want {
			t.Errorf("scriptLine(%q) = %q, want %q", line, got, want)
		}
	}
}

// slow is a stream whose lines come with pauses between them.
type slow struct{ rest stream }

func (s *slow) Recv() (*agentv1.RunReply, error) {
	time.Sleep(1900 * time.Millisecond)
	return s.rest.Recv()
}

func TestOutputIsShownWhileACommandRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := func(s string) *agentv1.RunReply {
			return &agentv1.RunReply{Kind: &agentv1.RunReply_Stdout{Stdout: []byte(s)}}
		}
		var got []string
		tk := &workflow.Task{
			Output: func(_, _, stdout, _ string, status int) {
				got = append(got, fmt.Sprintf("end %q %d", stdout, status))
			},
			Printed: func(_, _, stdout, _ string) { got = append(got, fmt.Sprintf("%q", stdout)) },
		}
		s := &slow{stream{line("1\n"), line("2\n"), line("3\n"), {Kind: &agentv1.RunReply_Exit{Exit: &agentv1.Exit{Status: 4}}}}}
		err := nodes{}.output(tk, "n1", "script", func() (runStream, error) { return s, nil })
		if want := "script: exit status 4: 1 | 2 | 3"; fmt.Sprint(err) != want {
			t.Errorf("error %v, want %s", err, want)
		}
		if diff := cmp.Diff([]string{`"1\n"`, `"2\n3\n"`, `end "" 4`}, got); diff != "" {
			t.Errorf("shown: %s", diff)
		}
	})
}
