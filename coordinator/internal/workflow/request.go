package workflow

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/customops"
	"kadeploy/coordinator/internal/env"
)

// Kind is what a workflow does to its nodes.
type Kind string

// The kinds of workflow, named as in the REST API.
const (
	Deploy Kind = "deployment"
	Reboot Kind = "reboot"
	Power  Kind = "power"
)

// Request is one validated order of a user: what to do, on which nodes, how.
// Everything that it names was looked up and permitted before it is made.
type Request struct {
	ID      string // D-, R- or P-<uuid>
	Kind    Kind
	User    string
	Created time.Time

	// Nodes by cluster; each cluster runs its own automaton under the one ID.
	Clusters []ClusterNodes

	Env          *env.Description // nil for most reboots and all power operations
	EnvOwner     string
	EnvID        int64 // registry row, -1 for an anonymous environment
	Files        Files
	Fetching     bool   // the image is on its way: Files has it later
	KeysFrom     string // where the keys come from, fetched after the plan is made; empty: none are wanted
	Keys         []byte // authorized_keys lines
	BlockDevice  string // overrides the cluster's
	Partition    string // number or label; overrides the cluster's
	BootPart     string
	ReformatTmp  string // file system for the tmp partition; empty: leave it
	VLAN         string
	VLANAddrs    map[string]netip.Addr // of the nodes in that VLAN
	NoKexec      bool
	NoBootloader bool
	NoPartition  bool
	NoPrepare    bool // the image is sent as it is, in no prepared form
	Force        bool
	Hook         bool
	Debug        bool
	Verbosity    int // 0 to 5, contract 1.8
	Breakpoint   string
	Automaton    *cluster.Automaton // --force-steps
	Variables    map[string]string  // --custom-variable
	RebootLimit  string             // --reboot-classical-timeout
	KexecLimit   string             // --reboot-kexec-timeout

	Expected map[string]time.Duration // what micro-steps take, by Experience
	Doubts   map[string]string        // by node: why the system on it is not trusted; of the others the records do not tell against it

	RebootKind  string // simple set_pxe deploy_env recorded_env
	Level       int    // cluster.LevelSoft...
	PowerAction string // on off status

	// A boot profile of the user's own: of the reboot set_pxe, or of a deployed system.
	PXEProfile       string
	PXESingularities map[string]string // by node: what NODE_SINGULARITY stands for
	PXEFiles         []string          // URIs; the profile has them as FILES_PREFIX--NAME

	Resumes string   `json:",omitempty"` // the deployment whose failed nodes are done again; empty: none
	Ready   []string `json:",omitempty"` // nodes that are still in the mini-OS as SetDeploymentEnv left them: they begin in BroadcastEnv

	Operations customops.Set   // --custom-steps
	OpFiles    map[string]File // of all operations, by customops.Op.FileKey
}

// BecomesTrusted tells whether what is deployed will be a trusted system of the cluster.
func (r *Request) BecomesTrusted(c *cluster.Cluster) bool {
	if r.Kind != Deploy || r.Env == nil || c.Trusted == nil || r.Env.Destructive || r.OwnLayout() || !c.Trusted.Trusts(r.User, r.Env.Name, r.EnvOwner) {
		return false
	}
	disk, label, number := c.TrustedPlace()
	if r.BlockDevice != "" && r.BlockDevice != disk && r.BlockDevice != c.Partitioning.BlockDevice {
		return false
	}
	if r.Partition == "" {
		return r.BlockDevice == "" && number == c.Partitioning.Deploy
	}
	chosen, at := c.Partitioning.Partition(r.Partition)
	return at > 0 && at == number || at == 0 && strings.EqualFold(chosen, label)
}

// OverriddenVariables tells, one line each, which custom variables are given at
// several places with different values: on the command line, in the description,
// in a cluster's configuration. The first of these counts.
func (r *Request) OverriddenVariables() []string {
	type place struct {
		name string
		vars map[string]string
	}
	var lines []string
	note := func(over, under place) {
		for _, key := range slices.Sorted(maps.Keys(over.vars)) {
			if value, both := under.vars[key]; both && value != over.vars[key] {
				lines = append(lines, fmt.Sprintf("Warning: the custom variable %s of %s overrides that of %s", key, over.name, under.name))
			}
		}
	}
	user := place{"the command line", r.Variables}
	var described place
	if r.Env != nil {
		described = place{"the environment", r.Env.CustomVariables}
		note(user, described)
	}
	for _, c := range r.Clusters {
		site := place{"the cluster " + c.Cluster.Name, c.Cluster.Variables}
		note(user, site)
		note(described, site)
	}
	return lines
}

// wantsKeys tells whether keys are to be installed, be they fetched yet or not.
func (r *Request) wantsKeys() bool { return r.KeysFrom != "" || len(r.Keys) > 0 }

// ClusterNodes is the part of a request that falls on one cluster.
type ClusterNodes struct {
	Cluster *cluster.Cluster
	Nodes   []string // FQDNs, naturally sorted
}

// Files are the local copies, in the image cache, of what the environment names.
type Files struct {
	Image        File
	Preinstall   *File
	Postinstalls []File          // same order as in the description
	Site         map[string]File `json:",omitempty"` // the sites' own pre- and postinstalls, by their path on the server
}

// SiteArchives are the paths of the clusters' own preinstalls and postinstalls
// that a deployment needs. A description's preinstall stands in for the sites'.
func (r *Request) SiteArchives() []string {
	var paths []string
	for _, c := range r.Clusters {
		all := c.Cluster.Postinstalls
		if r.Env.Preinstall == nil {
			all = slices.Concat(c.Cluster.Preinstalls, all)
		}
		for _, a := range all {
			if !slices.Contains(paths, a.File) {
				paths = append(paths, a.File)
			}
		}
	}
	return paths
}

// File is one cached, immutable file.
type File struct {
	Path     string
	Size     int64
	Hash     string // BLAKE3 of the whole, hexadecimal
	Manifest []byte `json:"-"` // encoded, as kascade.DecodeManifest reads it; found again by Hash
}

// Task is what a micro-step is given to do: one micro-step of one instance, for
// some nodes. It is handed to the step's implementation by the engine.
type Task struct {
	ID       string // unique; the same when a task is ordered again after the coordinator died
	Again    bool   // it is: the task may be under way on the nodes, or done
	Request  *Request
	Cluster  *cluster.Cluster
	Macro    string        // SetDeploymentEnv, BroadcastEnv, BootNewEnv; or the reboot or power kind
	Instance string        // SetDeploymentEnvUntrusted, ...
	Micro    string        // micro-step name
	Argument string        // variant: switch_pxe deploy|local, reboot soft|hard, wait_reboot deploy|user
	Attempt  int           // of the instance, from 0
	Op       *customops.Op // nil: an ordinary micro-step
	Nodes    []string
	// Limit is the time that the micro-step has; 0 is none. ctx ends a little
	// later: a step that gives up by itself can say what it was waiting for.
	Limit time.Duration

	// Note prints a line of the workflow's text at a verbosity level (contract 1.8).
	Note func(level int, text string)
	// Output records what a command on a node printed (debug view, and failure reports).
	Output func(node, command, stdout, stderr string, status int)
	// Printed shows what a command that still runs has printed since it was last called; what Output
	// gets in the end begins after that. Nil: nobody looks on.
	Printed func(node, command, stdout, stderr string)
	// Begun tells that nodes have left a queue of the step's own, such as the window
	// of reboots, and are at work now. A step without a queue need not call it.
	Begun func(nodes []string)
	// Progress tells how far a long step is, for the live view.
	Progress func(p Progress)
}

// Progress of a long micro-step.
type Progress struct {
	Done, Total int64            // bytes
	Rate        float64          // bytes per second, now
	Nodes       map[string]int64 // bytes done by each node
	Slowest     string           // node that holds the others back, empty if none
	Reason      string           // why: disk, link, cpu
}
