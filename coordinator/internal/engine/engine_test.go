package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/stats"
	"kadeploy/coordinator/internal/workflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a journal and node states in memory. It notes in which order things come.
type memory struct {
	mu        sync.Mutex
	began     map[string]*workflow.Request
	records   []workflow.Record
	ended     []string
	completed []string // paths of images
	states    map[string]string
	since     map[string]time.Time // of the claims
	broken    error                // of Append
	kept      *stats.Record        // of the workflow that ended last
}

func newMemory() *memory {
	return &memory{began: make(map[string]*workflow.Request), states: make(map[string]string), since: make(map[string]time.Time)}
}

func (m *memory) Accept(context.Context, *workflow.Request) error { return nil }

func (m *memory) Begin(_ context.Context, req *workflow.Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.began[req.ID] = req
	return nil
}

func (m *memory) Complete(_ context.Context, req *workflow.Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.completed = append(m.completed, req.Files.Image.Path)
	return nil
}

func (m *memory) Append(_ context.Context, records []workflow.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	m.records = append(m.records, records...)
	return nil
}

func (m *memory) End(_ context.Context, id string, kept *stats.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = append(m.ended, id)
	m.kept = kept
	return nil
}

func (m *memory) Claim(_ context.Context, nodes []string, u workflow.NodeUpdate, since time.Time) (busy []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range nodes {
		claimed, known := m.since[n]
		if strings.HasSuffix(m.states[n], "ing") && !since.After(time.Now()) && (!known || claimed.After(since)) {
			busy = append(busy, n)
			continue
		}
		m.states[n], m.since[n] = u.State, u.At
	}
	return busy, nil
}

func (m *memory) Settle(_ context.Context, nodes []string, u workflow.NodeUpdate) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range nodes {
		m.states[n] = u.State
	}
	return nil
}

func (m *memory) Abandon(_ context.Context, nodes []string, u workflow.NodeUpdate) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range nodes {
		if strings.HasSuffix(m.states[n], "ing") {
			m.states[n] = u.State
		}
	}
	return nil
}

// Lost takes nodes of which nothing is known for those of the workflow.
func (m *memory) Lost(_ context.Context, nodes []string, _ string) (lost []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range nodes {
		if state := m.states[n]; state != "" && !strings.HasSuffix(state, "ing") {
			lost = append(lost, n)
		}
	}
	return lost, nil
}

// script is a step that does for each node what the test says; by default it succeeds after a second.
type script struct {
	mu     sync.Mutex
	calls  []string
	act    func(ctx context.Context, t *workflow.Task, node string) error
	memory *memory
	t      *testing.T
}

func (s *script) Run(ctx context.Context, t *workflow.Task, report func(string, error)) {
	s.mu.Lock()
	s.calls = append(s.calls, fmt.Sprintf("%s(%s) %s", t.Micro, t.Argument, strings.Join(t.Nodes, " ")))
	s.mu.Unlock()
	if s.memory.last() == 0 {
		s.t.Error("a step runs before its transition was journalled")
	}
	var wg sync.WaitGroup
	for _, n := range t.Nodes {
		wg.Go(func() {
			if s.act != nil {
				report(n, s.act(ctx, t, n))
				return
			}
			report(n, sleep(ctx, time.Second))
		})
	}
	wg.Wait()
}

func (m *memory) last() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.records)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type bench struct {
	*Engine
	t      *testing.T
	memory *memory
	script *script
}

// deploymentSteps are the micro-steps that tests have.
var deploymentSteps = []string{
	"switch_pxe", "set_vlan", "reboot", "wait_reboot", "send_key_in_deploy_env", "create_partition_table", "format_deploy_part",
	"mount_deploy_part", "format_tmp_part", "format_swap_part", "send_environment", "manage_user_post_install", "check_kernel_files",
	"send_key", "install_bootloader", "sync", "umount_deploy_part", "kexec", "reboot_from_deploy_env", "power",
}

func newBench(t *testing.T, act func(ctx context.Context, t *workflow.Task, node string) error) *bench {
	t.Helper()
	m := newMemory()
	s := &script{act: act, memory: m, t: t}
	steps := make(map[string]Step)
	for _, name := range deploymentSteps {
		steps[name] = s
	}
	e, err := New(Config{Steps: steps, Journal: m, States: m, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return &bench{e, t, m, s}
}

func (b *bench) close() {
	b.t.Helper()
	if err := b.Close(b.t.Context()); err != nil {
		b.t.Errorf("Close: %v", err)
	}
}

func (b *bench) submit(req *workflow.Request, prepare Prepare) {
	b.t.Helper()
	if err := b.Submit(b.t.Context(), req, prepare); err != nil {
		b.t.Fatalf("Submit: %v", err)
	}
}

// wait lets time pass until the workflow is done.
func (b *bench) wait(id string) workflow.View {
	b.t.Helper()
	for range 100_000 {
		if v, _ := b.View(id); v.Done {
			synctest.Wait()
			return v
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.t.Fatalf("workflow %s does not end", id)
	return workflow.View{}
}

func (b *bench) text(id string) string {
	var lines []string
	for _, l := range b.TakeLogs(id, "") {
		lines = append(lines, l.Text)
	}
	return strings.Join(lines, "\n") + "\n"
}

func lab(name string, nodes ...string) workflow.ClusterNodes {
	instance := func(name string, seconds, retries int) cluster.Instance {
		return cluster.Instance{Name: name, Timeout: time.Duration(seconds) * time.Second, Retries: retries, Raisable: true}
	}
	return workflow.ClusterNodes{
		Cluster: &cluster.Cluster{
			Name: name, Kexec: true, Partitioning: cluster.Partitioning{BlockDevice: "/dev/vda", Deploy: 3, Swap: 1, Prod: 2, Tmp: 5},
			Automaton: cluster.Automaton{
				SetDeploymentEnv: []cluster.Instance{instance("SetDeploymentEnvUntrusted", 200, 1)},
				BroadcastEnv:     []cluster.Instance{instance("BroadcastEnvKascade", 300, 1)},
				BootNewEnv:       []cluster.Instance{instance("BootNewEnvKexec", 150, 0), instance("BootNewEnvHardReboot", 150, 0)},
			},
		},
		Nodes: nodes,
	}
}

func deployment(id string, parts ...workflow.ClusterNodes) *workflow.Request {
	return &workflow.Request{
		ID: id, Kind: workflow.Deploy, User: "alice", Created: time.Now(), Clusters: parts, Verbosity: 3, EnvID: 7, EnvOwner: "root",
		Env: &env.Description{
			Name: "debian12-min", Version: 1, OS: "linux", Image: env.Image{Kind: "tar"}, Filesystem: "ext4",
			Postinstalls: []env.Archive{{Archive: "p"}},
		},
		Keys: []byte("ssh-ed25519 A"),
	}
}

func check(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestDeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(ctx context.Context, task *workflow.Task, node string) error {
			if task.Micro == "reboot" && node == task.Nodes[0] {
				task.Note(3, "Performing a soft reboot on "+fold(task.Nodes))
			}
			if err := sleep(ctx, time.Second); err != nil {
				return err
			}
			if task.Micro == "send_environment" && node == task.Nodes[0] {
				task.Note(3, "Broadcast time: 1s")
			}
			return nil
		})
		defer b.close()
		b.submit(deployment("D-1", lab("lab", "node-1.lab", "node-2.lab", "node-3.lab")), func(_ context.Context, note func(int, string)) (Rest, error) {
			note(0, "Grab the key file /home/alice/.ssh/authorized_keys")
			return nil, nil
		})
		v := b.wait("D-1")
		check(t, "ok", []string{"node-1.lab", "node-2.lab", "node-3.lab"}, v.OK)
		check(t, "text", `Grab the key file /home/alice/.ssh/authorized_keys
Launching a deployment on node-[1-3].lab
Performing a Deploy[SetDeploymentEnvUntrusted] step
  switch_pxe
  reboot
   * Performing a soft reboot on node-[1-3].lab
  wait_reboot
  send_key_in_deploy_env
  create_partition_table
  format_deploy_part
  mount_deploy_part
  format_swap_part
End of step Deploy[SetDeploymentEnvUntrusted] after 8s
Performing a Deploy[BroadcastEnvKascade] step
  send_environment
   * Broadcast time: 1s
  manage_user_post_install
  check_kernel_files
  send_key
  install_bootloader
  sync
End of step Deploy[BroadcastEnvKascade] after 6s
Performing a Deploy[BootNewEnvKexec] step
  switch_pxe
  umount_deploy_part
  mount_deploy_part
  kexec
  wait_reboot
End of step Deploy[BootNewEnvKexec] after 5s
End of deployment for node-[1-3].lab after 19s
End of deployment on cluster lab after 19s
`, b.text("D-1"))
		check(t, "state in store", "deployed", b.memory.states["node-2.lab"])
		states, _ := b.States("D-1")
		check(t, "state", workflow.NodeState{State: "ok"}, states["node-1.lab"])
		check(t, "journal ended", []string{"D-1"}, b.memory.ended)
		if b.text("D-1") != "\n" {
			t.Error("lines can be read twice")
		}
		spans, _ := b.Timeline("D-1")
		check(t, "spans", 3*19, len(spans))
		for _, s := range spans {
			if s.Ended.Sub(s.Started) != time.Second || s.Queued.After(s.Started) || s.Error != "" {
				t.Errorf("span %+v", s)
			}
		}
		b.Forget("D-1")
		if _, ok := b.View("D-1"); ok {
			t.Error("a forgotten workflow is still there")
		}
	})
}

// A slow node in one macro-step and a fast one in the next: the text is in order.
func TestTextStaysInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(ctx context.Context, task *workflow.Task, node string) error {
			d := time.Second
			if task.Micro == "install_bootloader" && node == "n2" {
				d = time.Minute
			}
			return sleep(ctx, d)
		})
		defer b.close()
		b.submit(deployment("D-1", lab("lab", "n1", "n2")), nil)
		time.Sleep(40 * time.Second)
		live, _ := b.Live("D-1")
		check(t, "boot of the fast one", 1, live.Macros[2].Done)
		check(t, "slow one", map[string]int{"install_bootloader": 1}, live.Macros[1].Running)
		b.wait("D-1")
		text := b.text("D-1")
		if strings.Index(text, "End of step Deploy[BroadcastEnvKascade]") > strings.Index(text, "Performing a Deploy[BootNewEnvKexec]") {
			t.Errorf("a macro-step is told before the end of the one before:\n%s", text)
		}
	})
}

func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(ctx context.Context, task *workflow.Task, node string) error {
			switch {
			case task.Micro == "wait_reboot" && node == "n2" && task.Argument == workflow.WaitDeploy && task.Attempt == 0:
				time.Sleep(time.Second)
				return errors.New("unreachable after the reboot")
			case task.Micro == "send_environment" && node == "n3":
				return errors.New("write /mnt/dest: no space left on device\nlast line of tar")
			}
			return sleep(ctx, time.Second)
		})
		defer b.close()
		req := deployment("D-1", lab("lab", "n1", "n2", "n3"))
		req.Verbosity = 2
		b.submit(req, nil)
		v := b.wait("D-1")
		check(t, "ok", []string{"n1", "n2"}, v.OK)
		check(t, "ko", []string{"n3"}, v.KO)
		states, _ := b.States("D-1")
		check(t, "error", workflow.NodeState{
			Macro: "BroadcastEnvKascade", Micro: "send_environment", State: "ko",
			Error: "BroadcastEnvKascade-send_environment: write /mnt/dest: no space left on device; last line of tar",
		}, states["n3"])
		check(t, "text", `Launching a deployment on n[1-3]
Performing a Deploy[SetDeploymentEnvUntrusted] step
!!! The nodes n2 failed on step SetDeploymentEnvUntrusted-wait_reboot
Error[wait_reboot] n2: unreachable after the reboot
---
Nodeset [0] split into :
  [1] n[1,3]
  [2] n2
---
[2] Performing a Deploy[SetDeploymentEnvUntrusted] step
[1] End of step Deploy[SetDeploymentEnvUntrusted] after 8s
[1] Performing a Deploy[BroadcastEnvKascade] step
[1] !!! The nodes n3 failed on step BroadcastEnvKascade-send_environment
[1] Error[send_environment] n3: write /mnt/dest: no space left on device
[1]     last line of tar
---
Nodeset [1] split into :
  [3] n1
  [4] n3
---
[4] Performing a Deploy[BroadcastEnvKascade] step
[4] !!! The nodes n3 failed on step BroadcastEnvKascade-send_environment
[4] Error[send_environment] n3: write /mnt/dest: no space left on device
[4]     last line of tar
[4] End of step Deploy[BroadcastEnvKascade] after 0s
[2] End of step Deploy[SetDeploymentEnvUntrusted] after 8s
[2] Performing a Deploy[BroadcastEnvKascade] step
[3] End of step Deploy[BroadcastEnvKascade] after 6s
[3] Performing a Deploy[BootNewEnvKexec] step
[2] End of step Deploy[BroadcastEnvKascade] after 6s
[2] Performing a Deploy[BootNewEnvKexec] step
[3] End of step Deploy[BootNewEnvKexec] after 5s
[3] End of deployment for n1 after 19s
[2] End of step Deploy[BootNewEnvKexec] after 5s
[2] End of deployment for n2 after 22s
!!! 1 of 3 nodes failed
End of deployment on cluster lab after 22s
`, b.text("D-1"))
		check(t, "state of n3", "deploy_failed", b.memory.states["n3"])
		check(t, "state of n2", "deployed", b.memory.states["n2"])
		if !slices.Contains(b.script.calls, "reboot(hard) n2") {
			t.Errorf("no hard reboot of n2: %v", b.script.calls)
		}
	})
}

func TestTimeoutKillsTheStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var causes []error
		var mu sync.Mutex
		b := newBench(t, func(ctx context.Context, task *workflow.Task, node string) error {
			if task.Micro == "create_partition_table" {
				<-ctx.Done()
				mu.Lock()
				causes = append(causes, context.Cause(ctx))
				mu.Unlock()
				return ctx.Err()
			}
			return nil
		})
		defer b.close()
		b.submit(deployment("D-1", lab("lab", "n1")), nil)
		v := b.wait("D-1")
		check(t, "ko", []string{"n1"}, v.KO)
		states, _ := b.States("D-1")
		check(t, "error", "SetDeploymentEnvUntrusted-create_partition_table: Timeout in the SetDeploymentEnvUntrusted step", states["n1"].Error)
		if len(causes) != 2 || causes[0] != errKilled {
			t.Errorf("causes: %v, want two kills", causes)
		}
		if text := b.text("D-1"); !strings.Contains(text, "Timeout in the SetDeploymentEnvUntrusted step, let's kill the instance\n") {
			t.Errorf("no word of the timeout:\n%s", text)
		}
	})
}

func TestCancel(t *testing.T) {
	for _, after := range []time.Duration{0, 500 * time.Millisecond, 5 * time.Second, 9500 * time.Millisecond, 17 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, nil)
				defer b.close()
				b.submit(deployment("D-1", lab("lab", "n1", "n2")), func(ctx context.Context, _ func(int, string)) (Rest, error) {
					return nil, sleep(ctx, time.Second)
				})
				time.Sleep(after)
				if err := b.Cancel("D-1", ""); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				v := b.wait("D-1")
				if d := time.Since(start); d > time.Second {
					t.Errorf("the end took %v", d)
				}
				check(t, "ko", []string{"n1", "n2"}, v.KO)
				if v.Failure != nil {
					t.Errorf("failure: %v", v.Failure)
				}
				states, _ := b.States("D-1")
				check(t, "state", "aborted", states["n1"].State)
				want := map[string]string{"n1": "aborted", "n2": "aborted"}
				if after < time.Second {
					want = map[string]string{} // they were never touched
				}
				check(t, "states in store", want, maps.Collect(maps.All(b.memory.states)))
			})
		})
	}
}

func TestBusyNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		b.memory.states["n2"] = "deploying"
		b.submit(deployment("D-1", lab("lab", "n1", "n2")), nil)
		v := b.wait("D-1")
		check(t, "ok", []string{"n1"}, v.OK)
		check(t, "ko", []string{"n2"}, v.KO)
		states, _ := b.States("D-1")
		check(t, "state", workflow.NodeState{State: "discarded", Error: "node n2 is already involved in another deployment"}, states["n2"])
		check(t, "store", "deploying", b.memory.states["n2"])
		for _, c := range b.script.calls {
			if strings.Contains(c, "n2") {
				t.Errorf("busy node was touched: %s", c)
			}
		}

		b.submit(deployment("D-2", lab("lab", "n2")), nil)
		v = b.wait("D-2")
		if v.Failure == nil || v.Failure.Code != 14 {
			t.Errorf("failure = %+v, want code 14", v.Failure)
		}
		check(t, "store", "deploying", b.memory.states["n2"])

		forced := deployment("D-3", lab("lab", "n2"))
		forced.Force = true
		b.submit(forced, nil)
		check(t, "ok by force", []string{"n2"}, b.wait("D-3").OK)
	})
}

func TestPrepareFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		b.submit(deployment("D-1", lab("lab", "n1")), func(context.Context, func(int, string)) (Rest, error) {
			return nil, &workflow.Failure{Code: 5, Message: "Image file not found!"}
		})
		v := b.wait("D-1")
		if v.Failure == nil || v.Failure.Code != 5 || v.Failure.Message != "Image file not found!" {
			t.Errorf("failure = %+v", v.Failure)
		}
		check(t, "store", 0, len(b.memory.states))
		check(t, "calls", 0, len(b.script.calls))
	})
}

// faulty panics for one node and forgets another.
type faulty struct{ panics bool }

func (f faulty) Run(_ context.Context, t *workflow.Task, report func(string, error)) {
	report(t.Nodes[0], nil)
	report(t.Nodes[0], nil)
	report("stranger", nil)
	if f.panics {
		panic("boom")
	}
}

func TestFaultySteps(t *testing.T) {
	for _, panics := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, nil)
			defer b.close()
			b.cfg.Steps["install_bootloader"] = faulty{panics}
			req := deployment("D-1", lab("lab", "n1", "n2"))
			req.Clusters[0].Cluster.Automaton.BroadcastEnv[0].Retries = 0
			b.submit(req, nil)
			v := b.wait("D-1")
			check(t, "ok", []string{"n1"}, v.OK)
			states, _ := b.States("D-1")
			if e := states["n2"].Error; !strings.Contains(e, "install_bootloader") || !strings.Contains(e, "bug of the server") || strings.Contains(e, "boom") != panics {
				t.Errorf("error %q", e)
			}
		})
	}
}

func TestJournalBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		b.submit(deployment("D-1", lab("lab", "n1")), nil)
		time.Sleep(1500 * time.Millisecond)
		b.memory.mu.Lock()
		b.memory.broken = errors.New("disk full")
		b.memory.mu.Unlock()
		v := b.wait("D-1")
		if v.Failure == nil || v.Failure.Code != 20 || !strings.Contains(v.Failure.Message, "disk full") {
			t.Errorf("failure = %+v", v.Failure)
		}
		check(t, "ko", []string{"n1"}, v.KO)
		check(t, "store", "deploy_failed", b.memory.states["n1"])
		check(t, "calls", []string{"switch_pxe(deploy) n1", "reboot(soft) n1"}, b.script.calls)
	})
}

func TestBreakpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		req := deployment("D-1", lab("lab", "n1", "n2"))
		req.Breakpoint = "BroadcastEnvKascade :manage_user_post_install"
		b.submit(req, nil)
		v := b.wait("D-1")
		check(t, "ok", []string{"n1", "n2"}, v.OK)
		check(t, "store", "deployed", b.memory.states["n1"])
		states, _ := b.States("D-1")
		check(t, "state", workflow.NodeState{Macro: "BroadcastEnvKascade", Micro: "manage_user_post_install", State: "brk"}, states["n1"])
		if text := b.text("D-1"); !strings.Contains(text, "*** Breakpoint on BroadcastEnvKascade-manage_user_post_install reached for n[1-2]\n") {
			t.Errorf("text:\n%s", text)
		}
		wrong := deployment("D-2", lab("lab", "n1"))
		wrong.Breakpoint = "BroadcastEnvChain"
		var failure *workflow.Failure
		if err := b.Submit(t.Context(), wrong, nil); !errors.As(err, &failure) || failure.Code != 4 {
			t.Errorf("Submit with a breakpoint on nothing = %v, want code 4", err)
		}
	})
}

func TestTwoClusters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		one, two := lab("alpha", "a-1"), lab("beta", "b-1")
		one.Cluster.Prefix, two.Cluster.Prefix = "alp", "bet"
		req := deployment("D-1", one, two)
		req.Verbosity = 1
		b.submit(req, nil)
		b.wait("D-1")
		var alpha []string
		for _, l := range b.TakeLogs("D-1", "alpha") {
			alpha = append(alpha, l.Text)
		}
		check(t, "text of alpha", []string{
			"---", "[alp] : alpha", "[bet] : beta", "---",
			"[alp] Launching a deployment on a-1",
			"[alp] Performing a Deploy[SetDeploymentEnvUntrusted] step",
			"[alp] End of step Deploy[SetDeploymentEnvUntrusted] after 8s",
			"[alp] Performing a Deploy[BroadcastEnvKascade] step",
			"[alp] End of step Deploy[BroadcastEnvKascade] after 6s",
			"[alp] Performing a Deploy[BootNewEnvKexec] step",
			"[alp] End of step Deploy[BootNewEnvKexec] after 5s",
			"[alp] End of deployment for a-1 after 19s",
			"[alp] End of deployment on cluster alpha after 19s",
		}, alpha)
		rest := b.text("D-1")
		if strings.Contains(rest, "alp") || !strings.Contains(rest, "[bet] End of deployment on cluster beta after 19s") {
			t.Errorf("text of beta:\n%s", rest)
		}
	})
}

func TestDummyInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		req := deployment("D-1", lab("lab", "n1"))
		req.Automaton = &cluster.Automaton{
			SetDeploymentEnv: []cluster.Instance{{Name: "SetDeploymentMiniOSDummy"}},
			BroadcastEnv:     []cluster.Instance{{Name: "BroadcastEnvDummy"}},
			BootNewEnv:       []cluster.Instance{{Name: "BootNewEnvDummy"}},
		}
		b.submit(req, nil)
		check(t, "ok", []string{"n1"}, b.wait("D-1").OK)
		check(t, "scripted calls", 0, len(b.script.calls))
	})
}

func TestPowerStatusTouchesNoState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(_ context.Context, task *workflow.Task, node string) error {
			task.Output(node, "status", "on\n", "", 0)
			return nil
		})
		defer b.close()
		b.memory.states["n1"] = "deploying"
		b.submit(&workflow.Request{ID: "P-1", Kind: workflow.Power, PowerAction: "status", Clusters: []workflow.ClusterNodes{lab("lab", "n1")}, Debug: true}, nil)
		check(t, "ok", []string{"n1"}, b.wait("P-1").OK)
		check(t, "store", "deploying", b.memory.states["n1"])
		states, _ := b.States("P-1")
		check(t, "out", "on\n", states["n1"].Out)
		var lines []string
		for _, l := range b.TakeDebug("P-1", "n1") {
			lines = append(lines, l.Text)
		}
		check(t, "debug", []string{debugRule, "NODE: n1", debugRule, "COMMAND: status", "STDOUT: on", "STDERR: ", "STATUS: 0"}, lines)
	})
}

func TestFinishedOnesAreSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		b.submit(deployment("D-1", lab("lab", "n1")), nil)
		b.wait("D-1")
		time.Sleep(5 * time.Hour)
		if _, ok := b.View("D-1"); !ok {
			t.Error("dropped too early")
		}
		time.Sleep(90 * time.Minute)
		if _, ok := b.View("D-1"); ok {
			t.Error("kept for ever")
		}
	})
}
