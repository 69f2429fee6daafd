package steps

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// machine is one node: its agent, if it has one, and whether the system of its disk answers.
type machine struct {
	agentv1.AgentClient
	boot   string // of its agent; empty: it has none
	system bool
	told   int // how often it was told to reboot, by agent or power
	note   LeftBoot
}

func (m *machine) Session(ctx context.Context, _, not string) (agentv1.AgentClient, string, error) {
	if m.boot == "" || m.boot == not {
		<-ctx.Done()
		return nil, "", errors.New("the agent has not dialled")
	}
	return m, m.boot, nil
}
func (m *machine) BootID(string) string { return m.boot }

func (m *machine) LeaveBoots(_ context.Context, task string, boots map[string]string) error {
	m.note = LeftBoot{Task: task, Boot: boots["n1"]}
	return nil
}
func (m *machine) LeftBoot(context.Context, string) (LeftBoot, error) { return m.note, nil }

func (m *machine) MiniOS(ctx context.Context, _ netip.Addr) error { return nil }
func (m *machine) UserSystem(ctx context.Context, _ netip.Addr) error {
	if !m.system {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// supply is the machine's power.
type supply struct{ *machine }

func (m supply) Reboot(ctx context.Context, c *cluster.Cluster, level int, nodes []string, started func(int, []string), begun func([]string), report func(string, error)) {
	for _, node := range nodes {
		m.told++
		report(node, nil)
	}
}
func (m supply) Switch(context.Context, *cluster.Cluster, string, int, []string, func([]string), func(string, string, error)) {
}

func (m *machine) Kexec(context.Context, *agentv1.KexecRequest, ...grpc.CallOption) (*agentv1.KexecReply, error) {
	m.told++
	return &agentv1.KexecReply{}, nil
}

// A step that ends a node's boot, done again because the coordinator died, looks
// first: a node that has come up since is not told a second time.
func TestNodesThatLeftAreNotToldAgain(t *testing.T) {
	noted := LeftBoot{Task: "D-1.0.3", Boot: "b1"}
	asked := LeftBoot{Task: "D-1.0.3", Boot: "b1", Asked: time.Unix(1, 0)}
	earlier := LeftBoot{Task: "D-1.0.1", Boot: "b0", Asked: time.Unix(1, 0)}
	for _, c := range []struct {
		name          string
		machine       machine
		reboot, kexec int // how often it is told
	}{
		{"before anything was noted", machine{boot: "b1"}, 1, 1},
		{"an earlier task left a note", machine{boot: "b1", note: earlier}, 1, 1},
		{"it still is where it was", machine{boot: "b1", note: noted}, 1, 1},
		{"it came up", machine{boot: "b2", note: noted}, 0, 0},
		{"it came up, and had no agent before", machine{boot: "b2", note: LeftBoot{Task: "D-1.0.3"}}, 0, 0},
		{"it is on its way up", machine{note: asked}, 0, 0},
		{"its own system answers", machine{system: true, note: noted}, 0, 0},
		{"its own system answers, as it did before", machine{system: true, note: LeftBoot{Task: "D-1.0.3"}}, 1, 0},
		{"silence", machine{note: noted}, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for what, want := range map[string]int{"reboot": c.reboot, "kexec": c.kexec} {
					m := c.machine
					n := nodes{Config{Agents: &m, Boots: &m, Power: supply{&m}, Prober: &m}}
					tk := task("/dev/vda", workflow.Request{})
					tk.ID, tk.Again, tk.Nodes, tk.Note = "D-1.0.3", true, []string{"n1"}, func(int, string) {}
					tk.Cluster.Nodes = []cluster.Node{{Name: "n1", Address: netip.MustParseAddr("10.0.0.1")}}
					var step Step = reboot{n}
					if what == "kexec" {
						step = single{limit: medium, do: kexec{n}.do}
						tk.Request.Env = &env.Description{}
					}
					var reported []string
					step.Run(t.Context(), tk, func(node string, err error) {
						if err != nil {
							t.Errorf("%s: %v", what, err)
						}
						reported = append(reported, node)
					})
					if m.told != want || !slices.Equal(reported, []string{"n1"}) {
						t.Errorf("%s: told %d times, want %d; reported %v", what, m.told, want, reported)
					}
					if want > 0 && m.note.Task != tk.ID {
						t.Errorf("%s: note %+v", what, m.note)
					}
				}
			})
		})
	}
}

func (m *machine) Dismiss(string) {}
