// Package steps holds the micro-steps of the workflow, one type each: what the
// coordinator does, and asks the agents to do, when the automaton says that a
// node is to be partitioned, booted, written to. A step decides nothing about
// what comes next; it does its work for each node and reports how that went.
package steps

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/profile"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// Agents gives access to the agents of nodes that run the mini-OS.
type Agents interface {
	// Session waits until the node has a session of another boot than not (any, if
	// that is empty) and returns a client for it and its boot ID.
	Session(ctx context.Context, node, not string) (client agentv1.AgentClient, bootID string, err error)
	// BootID is that of the session that is open now, empty if there is none.
	BootID(node string) string
	// Dismiss forgets the session of a node that no longer runs the mini-OS.
	Dismiss(node string)
}

// Boots keeps, for the coordinator that follows this one, too, in which boot nodes
// were when they were told to leave it.
type Boots interface {
	// LeaveBoots notes the boots of nodes that a task is about to end.
	LeaveBoots(ctx context.Context, task string, boots map[string]string) error
	// LeftBoot is the last that was noted of a node.
	LeftBoot(ctx context.Context, node string) (LeftBoot, error)
}

// LeftBoot is what is known of the boot that a node was told to leave last.
type LeftBoot struct {
	Task  string    // that told it; empty: it was never told
	Boot  string    // empty: no agent was there
	Asked time.Time // when it asked for the mini-OS since; zero: it has not
}

// Profiles says what nodes boot.
type Profiles interface {
	SetBootProfile(ctx context.Context, node, workflow string, p profile.Profile) error
}

// Power runs the site's commands on machines, escalating from one level to the
// next. tried tells which level is tried for which nodes, begun whose command has
// left the queue and runs; report is called once for each node.
type Power interface {
	Reboot(ctx context.Context, c *cluster.Cluster, level int, nodes []string,
		tried func(level int, nodes []string), begun func(nodes []string), report func(node string, err error))
	Switch(ctx context.Context, c *cluster.Cluster, action string, level int, nodes []string,
		begun func(nodes []string), report func(node, output string, err error))
}

// VLANs moves nodes into a VLAN, or back into the one in which they are deployed,
// by one run of the site's command: the line that was run, and what it printed.
type VLANs interface {
	Move(ctx context.Context, nodes []string, id, user string) (line, output string, err error)
}

// Prober waits for a node to answer on the network as what it should be. The
// error says what was seen last.
type Prober interface {
	MiniOS(ctx context.Context, address netip.Addr) error
	UserSystem(ctx context.Context, address netip.Addr) error
}

// Broadcaster sends one file to many agents.
type Broadcaster interface {
	Broadcast(ctx context.Context, t Transfer) (*Delivery, error)
}

// Transfer is one file for some nodes, and what their agents do with it.
type Transfer struct {
	File     workflow.File
	Open     *agentv1.ReceiveOpen
	Nodes    []Receiver
	Progress func(workflow.Progress) // may be nil
}

// Receiver is one node of a transfer.
type Receiver struct {
	Node    string
	Address netip.Addr
	Agent   agentv1.AgentClient
}

// Delivery is how a transfer ended.
type Delivery struct {
	Nodes   map[string]error // nil: verified, consumed, durable
	Sent    int64            // bytes that the coordinator itself sent
	Elapsed time.Duration
	Slow    []string // for people: which node held the others up, why, and what was done
}

// Config is what the steps work with; all of it is needed but Preparer, MkfsArguments and, where there are none, VLANs,
// Remote, Kernels, Site and DeploymentKey.
type Config struct {
	Agents      Agents
	Boots       Boots
	Profiles    Profiles
	Power       Power
	Prober      Prober
	VLANs       VLANs
	Broadcaster Broadcaster
	Preparer    Preparer // nil: images are sent as they are
	Remote      Remote
	Kernels     Kernels
	Site        Site

	Connector     string            // what the site's commands call TAKTUK_CONNECTOR
	DeploymentKey []byte            // authorized_keys lines that open a trusted system to Remote
	ExtractionDir string            // where the deployed system is mounted on a node: /mnt/dest
	ArchiveDir    string            // where pre- and postinstalls are unpacked: /rambin
	TmpDir        string            // /tmp
	MkfsArguments map[string]string // by file system, external.mkfs
	Version       string            // of the coordinator, for scripts
}

// Step is what All returns; the engine declares the same interface.
type Step interface {
	Run(ctx context.Context, t *workflow.Task, report func(node string, err error))
}

// All is every micro-step by its name.
func All(c Config) map[string]Step {
	n := nodes{c}
	single := func(limit time.Duration, do func(context.Context, *workflow.Task, string) error) Step {
		return single{limit: limit, do: do}
	}
	return map[string]Step{
		workflow.SwitchPXE:             single(quick, switchPXE{n}.do),
		workflow.RebootNode:            reboot{n},
		workflow.RebootFromDeployEnv:   single(quick, rebootFromDeployEnv{n}.do),
		workflow.WaitReboot:            single(untimed, waitReboot{n}.do),
		workflow.StartupScript:         single(long, startupScript{n}.do),
		workflow.SendKeyInDeployEnv:    single(quick, installKeys{nodes: n, root: "/"}.do),
		workflow.SendKey:               single(quick, installKeys{nodes: n, root: c.ExtractionDir}.do),
		workflow.CreatePartitionTable:  single(medium, createPartitionTable{n}.do),
		workflow.FormatDeployPart:      single(long, format{n, deployFormat}.do),
		workflow.FormatTmpPart:         single(long, format{n, tmpFormat}.do),
		workflow.FormatSwapPart:        single(medium, format{n, swapFormat}.do),
		workflow.MountDeployPart:       single(medium, mountDeployPart{n}.do),
		workflow.UmountDeployPart:      single(long, umountDeployPart{n}.do),
		workflow.SendEnvironment:       sendEnvironment{n},
		workflow.ManageAdminPreInstall: archives{nodes: n, list: preinstalls, then: n.checkMounted},
		workflow.ManageAdminPost:       archives{nodes: n, list: sitePostinstalls},
		workflow.ManageUserPost:        archives{nodes: n, list: userPostinstalls},
		workflow.CheckKernelFiles:      single(medium, checkKernelFiles{n}.do),
		workflow.InstallBootloader:     single(long, installBootloader{n}.do),
		workflow.Sync:                  single(long, syncDisk{n}.do),
		workflow.Kexec:                 single(long, kexec{n}.do), // an emulated machine of little memory loads a kernel for a minute
		workflow.SendDeploymentKernel:  single(kernelTime, sendDeploymentKernel{n}.do),
		workflow.CheckNodes:            single(quick, checkNodes{n}.do),
		workflow.DecompressEnvironment: single(long, decompressEnvironment{n}.do),
		workflow.PowerNode:             power{n},
		workflow.CustomOperation:       customOperation{n},
		workflow.SetVLAN:               setVLAN{n},
		workflow.SetDefaultVLAN:        setVLAN{n},
	}
}

// Limits of what is asked of one node, beside those of the workflow: no call waits for ever.
const (
	quick   = 30 * time.Second
	medium  = 2 * time.Minute
	long    = 15 * time.Minute
	untimed = 0 // only the micro-step's own limit, which is in the task and goes before all of these
)

// nodes is what every step is made from.
type nodes struct{ Config }

// single is a step that treats each node by itself, all at once.
type single struct {
	limit time.Duration
	do    func(ctx context.Context, t *workflow.Task, node string) error
}

func (s single) Run(ctx context.Context, t *workflow.Task, report func(node string, err error)) {
	var wg sync.WaitGroup
	for _, node := range t.Nodes {
		wg.Go(func() {
			ctx := ctx
			if limit := cmp.Or(t.Limit, s.limit); limit > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, limit)
				defer cancel()
			}
			report(node, s.do(ctx, t, node))
		})
	}
	wg.Wait()
}

// address is that of a node of the task's cluster.
func address(t *workflow.Task, node string) (netip.Addr, error) {
	for i := range t.Cluster.Nodes {
		if n := &t.Cluster.Nodes[i]; n.Name == node {
			if !n.Address.IsValid() {
				return netip.Addr{}, fmt.Errorf("node %s has no address in the configuration: give it one in clusters.conf", node)
			}
			return n.Address, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("node %s is not in cluster %s", node, t.Cluster.Name)
}
