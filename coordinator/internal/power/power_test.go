package power

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// perform runs an operation and gives what was started and reported, as text.
func perform(t *testing.T, ctx context.Context, s *Service, c *cluster.Cluster, op Op, level int, nodes ...string) (started []string, outcomes map[string]string) {
	t.Helper()
	outcomes = map[string]string{}
	s.Perform(ctx, c, op, level, nodes,
		Watch{Level: func(level int, nodes []string) {
			started = append(started, cluster.LevelNames[level]+" "+strings.Join(nodes, ","))
		}},
		func(node string, o Outcome) {
			if old, twice := outcomes[node]; twice {
				t.Errorf("%s was reported twice: %s", node, old)
			}
			text := fmt.Sprintf("level=%d exit=%d out=%q", o.Level, o.Exit, o.Stdout)
			if o.Err != nil {
				text = fmt.Sprintf("level=%d exit=%d error=%v", o.Level, o.Exit, o.Err)
			}
			outcomes[node] = text
		})
	return started, outcomes
}

func line(l string) cluster.Command { return cluster.Command{Line: l} }

func TestEscalation(t *testing.T) {
	dir := t.TempDir()
	groups := filepath.Join(dir, "groups")
	if err := os.WriteFile(groups, []byte("# chassis\n\nn-1.lab, n-2.lab\nn-3.lab,n-4.lab\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	grouped := func(l string) cluster.Command { return cluster.Command{Line: l, Group: groups} }
	s := New(Config{Connector: "echo connect", Sleep: time.Millisecond})
	for _, tc := range []struct {
		name    string
		remote  cluster.RemoteOps
		op      Op
		level   int
		nodes   []string
		started []string
		want    map[string]string
	}{
		{
			name: "patterns", op: Reboot, nodes: []string{"n-1.lab"},
			remote:  cluster.RemoteOps{Reboot: [3]cluster.Command{line("DEFAULT_CONNECTOR HOSTNAME_FQDN HOSTNAME_SHORT GROUP_FQDN GROUP_SHORT")}},
			started: []string{"soft n-1.lab"},
			want:    map[string]string{"n-1.lab": `level=0 exit=0 out="connect n-1.lab n-1 n-1.lab n-1\n"`},
		}, {
			name: "up to very_hard, each node on its own", op: Off, nodes: []string{"n-1.lab", "n-2.lab", "n-3.lab"},
			remote: cluster.RemoteOps{PowerOff: [3]cluster.Command{
				line("test HOSTNAME_SHORT = n-1"), line("test HOSTNAME_SHORT = n-2"), line("test HOSTNAME_SHORT = n-3")}},
			started: []string{"soft n-1.lab,n-2.lab,n-3.lab", "hard n-2.lab,n-3.lab", "very_hard n-3.lab"},
			want: map[string]string{"n-1.lab": `level=0 exit=0 out=""`, "n-2.lab": `level=1 exit=0 out=""`,
				"n-3.lab": `level=2 exit=0 out=""`},
		}, {
			name: "from the level asked for", op: On, level: 1, nodes: []string{"n-1.lab"},
			remote:  cluster.RemoteOps{PowerOn: [3]cluster.Command{line("echo soft"), line("echo hard")}},
			started: []string{"hard n-1.lab"},
			want:    map[string]string{"n-1.lab": `level=1 exit=0 out="hard\n"`},
		}, {
			name: "nothing provided", op: Reboot, nodes: []string{"n-1.lab"},
			want: map[string]string{"n-1.lab": "level=2 exit=-1 error=soft_reboot command is not provided; hard_reboot command is not provided; very_hard_reboot command is not provided"},
		}, {
			name: "failed and then not provided", op: On, level: 1, nodes: []string{"n-1.lab"},
			remote:  cluster.RemoteOps{PowerOn: [3]cluster.Command{{}, line("echo out; echo BMC is silent >&2; exit 7")}},
			started: []string{"hard n-1.lab"},
			want:    map[string]string{"n-1.lab": "level=2 exit=-1 error=hard_power_on: exit status 7: BMC is silent; very_hard_power_on command is not provided"},
		}, {
			name: "status has no levels", op: Status, level: 2, nodes: []string{"n-1.lab", "n-2.lab"},
			remote: cluster.RemoteOps{PowerStatus: line("echo HOSTNAME_SHORT is on"),
				PerNode: map[string]cluster.NodeOps{"n-2.lab": {PowerStatus: line("exit 1")}}},
			started: []string{"soft n-1.lab,n-2.lab"},
			want:    map[string]string{"n-1.lab": `level=0 exit=0 out="n-1 is on\n"`, "n-2.lab": "level=0 exit=1 error=power_status: exit status 1"},
		}, {
			name: "status not provided", op: Status, nodes: []string{"n-1.lab"},
			want: map[string]string{"n-1.lab": "level=0 exit=-1 error=power_status command is not provided"},
		}, {
			name: "a node's own command", op: Reboot, nodes: []string{"n-1.lab", "n-2.lab"},
			remote: cluster.RemoteOps{Reboot: [3]cluster.Command{line("echo common")},
				PerNode: map[string]cluster.NodeOps{"n-2.lab": {Reboot: [3]cluster.Command{line("echo own")}}}},
			started: []string{"soft n-1.lab,n-2.lab"},
			want:    map[string]string{"n-1.lab": `level=0 exit=0 out="common\n"`, "n-2.lab": `level=0 exit=0 out="own\n"`},
		}, {
			name: "one command for a group", op: Reboot, nodes: []string{"n-2.lab", "n-1.lab", "n-3.lab"},
			remote: cluster.RemoteOps{Reboot: [3]cluster.Command{grouped("echo x >> " + dir + "/runs; echo GROUP_FQDN GROUP_SHORT"), line("echo alone HOSTNAME_SHORT")}},
			// n-4 is not in the request: n-3 cannot be handled with its group.
			started: []string{"soft n-1.lab,n-2.lab", "hard n-3.lab"},
			want: map[string]string{"n-1.lab": `level=0 exit=0 out="n-1.lab,n-2.lab n-1,n-2\n"`, "n-2.lab": `level=0 exit=0 out="n-1.lab,n-2.lab n-1,n-2\n"`,
				"n-3.lab": `level=1 exit=0 out="alone n-3\n"`},
		}, {
			name: "groups that cannot be used", op: Reboot, level: 2, nodes: []string{"n-3.lab", "n-9.lab"},
			remote: cluster.RemoteOps{Reboot: [3]cluster.Command{2: grouped("true")}},
			want: map[string]string{"n-3.lab": "level=2 exit=-1 error=n-3.lab can only be handled with its whole group, and n-4.lab is not concerned",
				"n-9.lab": "level=2 exit=-1 error=n-9.lab is in no group of " + groups},
		}, {
			name: "no file of groups", op: Reboot, level: 2, nodes: []string{"n-3.lab"},
			remote: cluster.RemoteOps{Reboot: [3]cluster.Command{2: {Line: "true", Group: "/nowhere"}}},
			want:   map[string]string{"n-3.lab": "level=2 exit=-1 error=groups of nodes: open /nowhere: no such file or directory"},
		}, {
			name: "a name that the shell would understand", op: Reboot, level: 2, nodes: []string{"$(id).lab", "-n", "a;b"},
			remote: cluster.RemoteOps{Reboot: [3]cluster.Command{2: line("echo HOSTNAME_FQDN")}},
			want: map[string]string{"$(id).lab": `level=2 exit=-1 error="$(id).lab" is not a host name that a command may be given`,
				"-n":  `level=2 exit=-1 error="-n" is not a host name that a command may be given`,
				"a;b": `level=2 exit=-1 error="a;b" is not a host name that a command may be given`},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			started, got := perform(t, t.Context(), s, &cluster.Cluster{Remote: tc.remote}, tc.op, tc.level, tc.nodes...)
			if diff := cmp.Diff(tc.started, started); diff != "" {
				t.Errorf("started (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
		})
	}
	if runs, _ := os.ReadFile(filepath.Join(dir, "runs")); string(runs) != "x\n" {
		t.Errorf("the group's command ran %d times", len(runs)/2)
	}
}

func reboot(l string) *cluster.Cluster {
	return &cluster.Cluster{Remote: cluster.RemoteOps{Reboot: [3]cluster.Command{2: line(l)}}}
}

func TestTimeoutKillsTheWholeGroup(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	s := New(Config{Timeout: 200 * time.Millisecond})
	_, got := perform(t, t.Context(), s, reboot("trap '' TERM; sleep 60 & echo $! > "+pid+"; echo waiting for the BMC; wait; wait"), Reboot, 2, "n-1.lab")
	want := map[string]string{"n-1.lab": "level=2 exit=-1 error=very_hard_reboot: no end within 200ms: waiting for the BMC"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	b, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Second); running(child); {
		if time.Now().After(deadline) {
			t.Fatalf("the command's child %d is still there", child)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// running tells whether a process exists and is not a zombie that nobody reaps.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestCancelReportsEveryNode(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := New(Config{Window: 1, Sleep: time.Hour})
	var once sync.Once
	got := map[string]error{}
	s.Perform(ctx, reboot("exec sleep 60"), Reboot, 2, []string{"n-1.lab", "n-2.lab"},
		Watch{Level: func(int, []string) { once.Do(func() { time.AfterFunc(100*time.Millisecond, cancel) }) }},
		func(node string, o Outcome) { got[node] = o.Err })
	for _, node := range []string{"n-1.lab", "n-2.lab"} {
		if got[node] == nil || !strings.Contains(got[node].Error(), "reboot of "+node+" given up: context canceled") {
			t.Errorf("%s: %v", node, got[node])
		}
	}
}

func TestBackgroundChildDoesNotHoldTheCommand(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	s := New(Config{})
	begin := time.Now()
	_, got := perform(t, t.Context(), s, reboot("sleep 30 & echo $! > "+pid+"; echo done"), Reboot, 2, "n-1.lab")
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	if want := `level=2 exit=0 out="done\n"`; got["n-1.lab"] != want {
		t.Errorf("outcome %s, want %s", got["n-1.lab"], want)
	}
	b, _ := os.ReadFile(pid)
	if child, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
}

func TestOutputIsBounded(t *testing.T) {
	s := New(Config{})
	s.Perform(t.Context(), reboot("head -c 5000000 /dev/zero | tr '\\0' x; echo end"), Reboot, 2, []string{"n-1.lab"}, Watch{},
		func(_ string, o Outcome) {
			if o.Err != nil || len(o.Stdout) != command.MaxOutput || !strings.HasSuffix(o.Stdout, "xend\n") {
				t.Errorf("%d bytes of output, error %v", len(o.Stdout), o.Err)
			}
		})
}

func TestSwitchAndReboot(t *testing.T) {
	c := &cluster.Cluster{Remote: cluster.RemoteOps{PowerOn: [3]cluster.Command{line("echo warning >&2")}, PowerOff: [3]cluster.Command{1: line("exit 1")},
		PowerStatus: line("echo on"), Reboot: [3]cluster.Command{line("true")}}}
	s := New(Config{})
	var got []string
	note := func(node, output string, err error) { got = append(got, fmt.Sprintf("%s %q %v", node, output, err)) }
	s.Switch(t.Context(), c, "on", 0, []string{"n-1"}, nil, note)
	s.Switch(t.Context(), c, "off", 1, []string{"n-1"}, nil, note)
	s.Switch(t.Context(), c, "status", 0, []string{"n-1"}, nil, note)
	s.Switch(t.Context(), c, "dance", 0, []string{"n-1"}, nil, note)
	s.Reboot(t.Context(), c, 0, []string{"n-1"}, nil, nil, func(node string, err error) { note(node, "rebooted", err) })
	want := []string{
		`n-1 "warning\n" <nil>`,
		`n-1 "" hard_power_off: exit status 1; very_hard_power_off command is not provided`,
		`n-1 "on\n" <nil>`,
		`n-1 "" power "dance" of n-1: the actions are on, off and status`,
		`n-1 "rebooted" <nil>`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

// Who waits for the window has not begun.
func TestBegunIsToldWhenTheWindowLetsIn(t *testing.T) {
	s := New(Config{Window: 1, Sleep: 10 * time.Millisecond})
	var mu sync.Mutex
	var order []string
	s.Perform(t.Context(), reboot("true"), Reboot, 2, []string{"n-1.lab", "n-2.lab"},
		Watch{Begun: func(nodes []string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, "begun "+strings.Join(nodes, ","))
		}},
		func(node string, o Outcome) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, "done "+node)
		})
	if want := []string{"begun n-1.lab", "done n-1.lab", "begun n-2.lab", "done n-2.lab"}; !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
	if size, occupied, waiting := s.Window(); size != 1 || occupied != 0 || waiting != 0 {
		t.Errorf("window afterwards: %d places, %d occupied, %d waiting", size, occupied, waiting)
	}
}
